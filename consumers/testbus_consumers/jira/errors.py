"""What Jira can answer, apart from being down (that is `TargetDownError`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_consumers.errors import NotDoneError, TargetDownError

if TYPE_CHECKING:
    from datetime import timedelta


class RefusedError(NotDoneError):
    """Jira will not take this as things are: do what the message says, then redrive."""

    def __init__(self, detail: str = "", *, status: int | None = None) -> None:
        """Keep the HTTP status; None when the refusal is our own."""
        super().__init__(detail)
        #: HTTP status.
        self.status = status


class DeniedError(TargetDownError, NotDoneError):
    """Jira does not accept who we are, or what we may do: see the message; everything waits until it does."""


class BlockedError(TargetDownError, NotDoneError):
    """Something before Jira answers in its place, a proxy or a firewall: let this through; it waits until then."""


class UnreachableError(TargetDownError, NotDoneError):
    """Nothing listens at Jira's address: see `testbus check`; everything waits until something does."""


class RateLimitedError(NotDoneError):
    """Jira wants fewer requests: try again when it says."""

    def __init__(self, detail: str, after: timedelta) -> None:
        """Keep how long Jira asks to wait."""
        super().__init__(detail)
        #: How long Jira asks to wait.
        self.after = after
