"""Intents: a call to the outside is written down before it is made, so that a crash leaves a question, not a guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, select, update

from testbus_consumers.errors import LeaseLostError
from testbus_consumers.store.engine import insert_once
from testbus_consumers.store.tables import INTENT

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

#: Made once: every call to the outside runs them.
_KNOWN: Final = select(INTENT).where(INTENT.c.key == bindparam("of"))
_RESOLVED: Final = (
    update(INTENT)
    .where(INTENT.c.key == bindparam("of"))
    .values(result=bindparam("result"), done_at=bindparam("done_at"))
)
_RESULTS: Final = select(INTENT.c.key, INTENT.c.result).where(
    INTENT.c.key.in_(bindparam("keys", expanding=True)), INTENT.c.done_at.is_not(None)
)


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A call to the outside, as far as is known."""

    #: Whether an earlier attempt began it: then the target has to be asked before it is done again.
    begun_before: bool
    #: When the latest attempt began it (seconds since the epoch).
    begun_at: float
    #: Whether its result is known.
    done: bool
    #: What came back (JSON).
    result: Any = None


def begin(connection: Connection, key: str, now: float) -> Intent:
    """Write down that the call is about to be made; return what was known of it before."""
    if connection.execute(insert_once(connection, INTENT), {"key": key, "begun_at": now}).scalar():
        return Intent(begun_before=False, begun_at=now, done=False)
    row = connection.execute(_KNOWN, {"of": key}).one()
    return Intent(begun_before=True, begun_at=row.begun_at, done=row.done_at is not None, result=row.result)


def begun(connection: Connection, key: str) -> bool:
    """Tell whether a call was made, or may have been."""
    return connection.execute(_KNOWN, {"of": key}).one_or_none() is not None


def results(connection: Connection, keys: Collection[str]) -> dict[str, Any]:
    """Return what came back (JSON) of those of these calls of which it is known, by key."""
    return {row.key: row.result for row in connection.execute(_RESULTS, {"keys": list(keys)})}


def begin_again(connection: Connection, key: str, intent: Intent, now: float) -> None:
    """Write down that the call is about to be made once more; LeaseLostError when another worker is about to."""
    as_known = INTENT.c.done_at.is_not(None) if intent.done else INTENT.c.done_at.is_(None)
    ours = update(INTENT).where(INTENT.c.key == key, INTENT.c.begun_at == intent.begun_at, as_known)
    if connection.execute(ours.values(begun_at=now, done_at=None)).rowcount != 1:
        raise LeaseLostError(f"another worker has begun {key}")


def withdraw(connection: Connection, key: str, begun_at: float) -> None:
    """Forget a call that was surely not made; one that another worker has begun since stays."""
    connection.execute(
        delete(INTENT).where(INTENT.c.key == key, INTENT.c.begun_at == begun_at, INTENT.c.done_at.is_(None))
    )


def resolve(connection: Connection, key: str, result: Any, now: float) -> None:
    """Write down what came back."""
    connection.execute(_RESOLVED, {"of": key, "result": result, "done_at": now})
