"""What a handler answers, and what an exception in its place means; the runtime does the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from testbus_broker.errors import BrokerError
from testbus_consumers.errors import BreakerOpenError, LeaseLostError, NoStateError, TargetDownError, UnsettledError

if TYPE_CHECKING:
    from datetime import timedelta


#: PostgreSQL's classes of states (their first two characters) that speak of an event or of our code: a statement, a
#: value, a constraint or a limit that will be refused again. https://www.postgresql.org/docs/current/errcodes-appendix.html
_REFUSED: Final = frozenset({"20", "21", "22", "23", "42", "44", "54"})

#: Those among them that a person may put right at the server meanwhile: a right that was taken away, a table, column,
#: type or index that `testbus db upgrade` has not made yet, a prepared statement that a pooler has mixed up.
_MENDED: Final = frozenset({"42501", "42P01", "42703", "42704", "42P10", "42P05"})

#: What stands for such classes where a database names no states, as SQLite does.
_REFUSALS: Final = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


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


def passes(error: Exception) -> bool:
    """Tell whether the same event may well succeed later, without anybody changing the event or the code.

    A value that the database refuses (a number out of range, a NUL in a text, a violated constraint) will be refused
    again. Whatever else it says is about itself: it is unreachable, may only be read, has no connection left, has no
    right for us, or takes longer than allowed.
    """
    if isinstance(error, LeaseLostError | TargetDownError | BreakerOpenError | UnsettledError | NoStateError):
        return True
    if isinstance(error, BrokerError | PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return not isinstance(error, _REFUSALS)
    return state[:2] not in _REFUSED or state in _MENDED


def one_line(error: BaseException) -> str:
    """Return what an error says as one line, without the statement and the values of a database error."""
    text = str(getattr(error, "orig", None) or error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"[:1000]
