"""What Slack can answer, apart from being down (that is `TargetDownError`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_consumers.errors import ConsumerError, NotDoneError, TargetDownError

if TYPE_CHECKING:
    from datetime import timedelta


class SlackAnswerError(ConsumerError):
    """Slack did not do what was asked; the message is its answer, and what a person can do."""


class RefusedError(SlackAnswerError, NotDoneError):
    """Slack will not take this as things are: do what the message says, then redrive."""


class MessageGoneError(SlackAnswerError):
    """The message is not there any more, or may not be changed any more: a person saw to that."""


class RateLimitedError(SlackAnswerError, NotDoneError):
    """Slack, or the limit that is set for it, wants fewer messages: try again when it says."""

    def __init__(self, detail: str, after: timedelta) -> None:
        """Keep how long to wait."""
        super().__init__(detail)
        #: How long to wait.
        self.after = after


class NotSentError(TargetDownError, NotDoneError):
    """Slack cannot be reached, and has surely got nothing; the message waits."""
