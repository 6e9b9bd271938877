"""Timers as rows: any worker of the queue may take a due one, and a dead worker's comes back by itself."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select, update

from testbus_consumers.store.engine import insert
from testbus_consumers.store.tables import JOB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

#: Characters of a reason that are kept.
_REASON_CHARS: Final = 4000


@dataclass(frozen=True, kw_only=True)
class Job:
    """A timer that is due."""

    #: Which of the consumer's jobs.
    name: str
    #: On what.
    key: str
    #: What it was given (JSON).
    payload: dict[str, Any]
    #: Counted attempts so far.
    attempts: int
    #: Proof that it is still ours.
    token: str
    #: Whether it waits for the queue to be drained.
    when_drained: bool

    @property
    def cause(self) -> str:
        """Return the name under which the outbox keeps what it led to."""
        return f"{self.name}:{self.key}"


def schedule(
    connection: Connection,
    name: str,
    key: str,
    due_at: float,
    payload: Mapping[str, Any],
    *,
    when_drained: bool = False,
) -> None:
    """Set a timer; an earlier one of the same name and key is replaced."""
    values = {
        "status": "waiting",
        "due_at": due_at,
        "when_drained": int(when_drained),
        "payload": dict(payload),
        "attempts": 0,
        "leased_until": 0.0,
        "token": "",
        "reason": "",
    }
    statement = insert(connection, JOB).values(name=name, key=key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=[JOB.c.name, JOB.c.key], set_=values))


def cancel(connection: Connection, name: str, key: str) -> None:
    """Forget a timer, if there is one."""
    connection.execute(delete(JOB).where(JOB.c.name == name, JOB.c.key == key))


def take(connection: Connection, now: float, ttl: float) -> Job | None:
    """Take one due timer for `ttl` seconds."""
    due = (
        select(JOB)
        .where(JOB.c.status == "waiting", JOB.c.due_at <= now, JOB.c.leased_until <= now)
        .order_by(JOB.c.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(due).one_or_none()
    if row is None:
        return None
    token = str(uuid.uuid4())
    taken = update(JOB).where(JOB.c.name == row.name, JOB.c.key == row.key)
    connection.execute(taken.values(leased_until=now + ttl, token=token))
    return Job(
        name=row.name,
        key=row.key,
        payload=row.payload,
        attempts=row.attempts,
        token=token,
        when_drained=bool(row.when_drained),
    )


def finish(connection: Connection, job: Job) -> bool:
    """Forget a timer that has been dealt with; False when it was set anew, or taken by another, in the meantime."""
    gone = delete(JOB).where(JOB.c.name == job.name, JOB.c.key == job.key, JOB.c.token == job.token)
    return connection.execute(gone).rowcount == 1


def postpone(connection: Connection, job: Job, due_at: float, *, attempts: int, reason: str) -> None:
    """Try again later."""
    connection.execute(
        _ours(job).values(due_at=due_at, attempts=attempts, leased_until=0.0, token="", reason=reason[:_REASON_CHARS])
    )


def give_up(connection: Connection, job: Job, reason: str) -> None:
    """Keep the timer, with the reason, until a person sets it again."""
    connection.execute(_ours(job).values(status="dead", leased_until=0.0, token="", reason=reason[:_REASON_CHARS]))


def next_due(connection: Connection) -> float | None:
    """Return when the next timer is due (seconds since the epoch), None if none is set."""
    waiting = select(JOB.c.due_at).where(JOB.c.status == "waiting").order_by(JOB.c.due_at).limit(1)
    return connection.execute(waiting).scalar()


def dead(connection: Connection) -> list[tuple[str, str, str]]:
    """Return the timers that were given up: name, key, reason."""
    rows = connection.execute(select(JOB.c.name, JOB.c.key, JOB.c.reason).where(JOB.c.status == "dead"))
    return [(row.name, row.key, row.reason) for row in rows]


def _ours(job: Job) -> Any:
    return update(JOB).where(JOB.c.name == job.name, JOB.c.key == job.key, JOB.c.token == job.token)
