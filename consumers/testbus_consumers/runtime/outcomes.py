"""What a handler answers; the runtime does the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


@dataclass(frozen=True)
class Done:
    """The event is dealt with; it is acknowledged once everything that follows from it is safe."""

    #: For the ledger: what was done, or why nothing had to be.
    note: str = ""


@dataclass(frozen=True)
class Retry:
    """The event could not be dealt with now; nothing of this attempt is kept."""

    #: Why, for the ledger and the log.
    reason: str
    #: When to try again at the earliest; None leaves it to the retry delays.
    after: timedelta | None = None
    #: Whether the attempt counts towards giving up. False when the target is down: no event is given up for that.
    counted: bool = True


@dataclass(frozen=True)
class Reject:
    """The event can never be dealt with as it is; it goes to the dead-letter queue at once."""

    #: Why, and what a person can do about it.
    reason: str


#: What a handler may answer.
Outcome = Done | Retry | Reject


class Undone(Exception):  # noqa: N818 not an error: it carries an outcome out of a transaction that is rolled back
    """Leaves a transaction without committing it."""

    def __init__(self, outcome: Retry | Reject) -> None:
        """Carry the outcome."""
        super().__init__(outcome.reason)
        self.outcome = outcome


class Untried(Undone):
    """Leaves before anything was tried: how often the event was delivered in vain is still to be remembered."""
