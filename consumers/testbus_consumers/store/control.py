"""The control row: what a person said about this queue, and what its workers found out about its target.

One row in the queue's own schema, so that it survives every worker and is seen from every host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, update

from testbus_consumers.store.engine import insert, storable
from testbus_consumers.store.tables import CONTROL

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Key of the one row.
_ID: Final = 1

#: Characters of a reason that are kept.
_REASON_CHARS: Final = 1000

#: Characters of a person's name that are kept.
_NAME_CHARS: Final = 128


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A person stopped the queue. Instants are seconds since the epoch."""

    #: When.
    since: float
    #: Who, as user@host.
    by: str
    #: Why; "" when nothing was said.
    reason: str
    #: When it goes on by itself; None: when somebody says so.
    until: float | None

    def holds(self, now: float) -> bool:
        """Tell whether the queue is stopped at that moment."""
        return self.until is None or now < self.until


@dataclass(frozen=True, kw_only=True)
class Health:
    """What some worker found out last about the target. Instants are seconds since the epoch."""

    #: Failed calls in a row.
    failures: int = 0
    #: When the target may be asked again; 0 when it is healthy.
    open_until: float = 0.0
    #: What the last failure said.
    reason: str = ""
    #: When it was found out; 0 when nobody ever found it down.
    changed_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Control:
    """The row."""

    #: Name of the queue.
    queue: str
    #: A person's pause, which may be over by now.
    pause: Pause | None = None
    #: The target's health.
    health: Health = Health()

    def paused(self, now: float) -> bool:
        """Tell whether the queue is stopped at that moment."""
        return self.pause is not None and self.pause.holds(now)


def read(connection: Connection) -> Control | None:
    """Return the row; None before anybody wrote it."""
    row = connection.execute(select(CONTROL).where(CONTROL.c.id == _ID)).one_or_none()
    if row is None:
        return None
    pause = None
    if row.paused_at is not None:
        pause = Pause(since=row.paused_at, by=row.paused_by, reason=row.pause_reason, until=row.paused_until)
    health = Health(
        failures=row.failures, open_until=row.open_until, reason=row.failure, changed_at=row.health_changed_at
    )
    return Control(queue=row.queue, pause=pause, health=health)


def begin(connection: Connection, queue: str) -> None:
    """Write the row, unless there is one: from then on others can tell whose state this is."""
    values = {
        "id": _ID,
        "queue": queue,
        "paused_by": "",
        "pause_reason": "",
        "failures": 0,
        "open_until": 0.0,
        "failure": "",
        "health_changed_at": 0.0,
    }
    connection.execute(insert(connection, CONTROL).values(**values).on_conflict_do_nothing())


def stop(connection: Connection, queue: str, pause: Pause) -> None:
    """Write a pause; an earlier one is replaced."""
    begin(connection, queue)
    connection.execute(
        update(CONTROL).values(
            paused_at=pause.since,
            paused_until=pause.until,
            paused_by=storable(pause.by, _NAME_CHARS),
            pause_reason=storable(pause.reason, _REASON_CHARS),
        )
    )


def go_on(connection: Connection) -> None:
    """Take a pause back."""
    connection.execute(update(CONTROL).values(paused_at=None, paused_until=None, paused_by="", pause_reason=""))


def report(connection: Connection, queue: str, health: Health) -> None:
    """Write what was found out about the target, unless somebody has found out something later."""
    begin(connection, queue)
    newer = update(CONTROL).where(CONTROL.c.health_changed_at < health.changed_at)
    connection.execute(
        newer.values(
            failures=health.failures,
            open_until=health.open_until,
            failure=storable(health.reason, _REASON_CHARS),
            health_changed_at=health.changed_at,
        )
    )
