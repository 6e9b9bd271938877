"""What ReportPortal can answer, apart from being down (that is `TargetDownError`)."""

from __future__ import annotations

from testbus_consumers.errors import ConsumerError, TargetDownError


class AnswerError(ConsumerError):
    """ReportPortal did not do what was asked; the message is its answer."""


class AlreadyThereError(AnswerError):
    """A launch or item with this uuid is there already: an earlier attempt made it."""


class AlreadyFinishedError(AnswerError):
    """The launch is finished already: an earlier attempt, a person or ReportPortal's own clean-up did it."""


class NotThereError(AnswerError):
    """A launch, item or log that is needed is not there yet, or not any more: try again after what makes it."""


class RefusedError(AnswerError):
    """ReportPortal will never take this: see its message, correct what it names, then redrive."""


class BlockedError(TargetDownError):
    """Something answers in ReportPortal's place, or for all of its project: everything waits until that is over."""
