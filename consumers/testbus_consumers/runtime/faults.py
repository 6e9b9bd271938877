"""Whose fault a fault is: an event is given up for its own, and waits for everything else's."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from testbus_broker.errors import BrokerError
from testbus_consumers.errors import BreakerOpenError, LeaseLostError, TargetDownError, UnsettledError
from testbus_consumers.store.engine import NOT_MIGRATED


def passes(error: Exception) -> bool:
    """Tell whether the same event may well succeed later, without anybody changing the event or the code.

    A value that the database refuses (a number out of range, a NUL in a text, a violated constraint) will be refused
    again.
    """
    if isinstance(error, LeaseLostError | TargetDownError | BreakerOpenError | UnsettledError):
        return True
    if isinstance(error, BrokerError | PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(error, OperationalError | InterfaceError) or state in NOT_MIGRATED


def one_line(error: BaseException) -> str:
    """Return what an error says as one line, without the statement and the values of a database error."""
    text = str(getattr(error, "orig", None) or error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"[:1000]
