"""Timers as rows: any worker of the queue may take a due one, and a dead worker's comes back by itself."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, case, delete, select, update

from testbus_consumers.store.engine import insert_into, storable
from testbus_consumers.store.tables import JOB

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection

#: Characters of a reason that are kept.
_REASON_CHARS: Final = 4000

#: Made once: every decision about a run sets one timer and deletes another.
_CANCELLED: Final = delete(JOB).where(JOB.c.name == bindparam("of"), JOB.c.key == bindparam("on"))


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
    #: How often it was put off, counted or not.
    delays: int
    #: Which setting of the timer this is.
    setting: int
    #: Proof that it is still ours.
    token: str
    #: Whether it waits for the queue to be drained.
    when_drained: bool
    #: Id of the replay that it follows from, or "".
    replay: str = ""

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
    replay: str = "",
) -> None:
    """Set a timer; an earlier one of the same name and key is replaced.

    One that is being run at this moment is run again afterwards, never beside it. A `replay` (its id) makes the timer
    one of the past, unless one that follows from news is waiting: its words must not be lost.
    """
    values = {
        "status": "waiting",
        "due_at": due_at,
        "when_drained": int(when_drained),
        "payload": dict(payload),
        "attempts": 0,
        "delays": 0,
        "reason": "",
    }
    fresh = {"setting": 1, "leased_until": 0.0, "token": "", "replay": replay}
    connection.execute(_schedule(connection.dialect.name), {"name": name, "key": key, **fresh, **values})


@cache
def _schedule(dialect: str) -> Any:
    statement = insert_into(dialect, JOB)
    given = statement.excluded
    news = and_(JOB.c.status == "waiting", JOB.c.replay == "")
    names = ("status", "due_at", "when_drained", "payload", "attempts", "delays", "reason")
    anew = {name: given[name] for name in names}
    anew |= {"setting": JOB.c.setting + 1, "replay": case((news, ""), else_=given.replay)}
    return statement.on_conflict_do_update(index_elements=[JOB.c.name, JOB.c.key], set_=anew)


def cancel(connection: Connection, name: str, key: str) -> None:
    """Forget a timer, if there is one."""
    connection.execute(_CANCELLED, {"of": name, "on": key})


def take(
    connection: Connection, now: float, ttl: float, *, without: Collection[str] = (), drained_too: bool = True
) -> Job | None:
    """Take one due timer for `ttl` seconds.

    Those of the names in `without` are passed over, and, unless `drained_too`, those that wait for a drained queue.
    """
    due = select(JOB).where(JOB.c.status == "waiting", JOB.c.due_at <= now, JOB.c.leased_until <= now)
    if without:
        due = due.where(JOB.c.name.not_in(without))
    if not drained_too:
        due = due.where(JOB.c.when_drained == 0)
    query = due.order_by(JOB.c.due_at).limit(1).with_for_update(skip_locked=True)
    row = connection.execute(query).one_or_none()
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
        delays=row.delays,
        setting=row.setting,
        token=token,
        when_drained=bool(row.when_drained),
        replay=row.replay,
    )


def finish(connection: Connection, job: Job) -> bool:
    """Forget a timer that has been dealt with; False when it was taken by another in the meantime.

    If it was set anew while it was run, the new setting stays.
    """
    gone = delete(JOB).where(*_this(job), JOB.c.setting == job.setting)
    return connection.execute(gone).rowcount == 1 or _let_go(connection, job)


def postpone(connection: Connection, job: Job, due_at: float, *, reason: str, attempts: int | None = None) -> None:
    """Run it later; a new setting of the timer keeps its own time.

    `attempts`: how many counted ones there were, this one included; None when it was not tried, and only waits.
    """
    later: dict[str, Any] = {"due_at": due_at, "reason": storable(reason, _REASON_CHARS)}
    if attempts is not None:
        later |= {"attempts": attempts, "delays": job.delays + 1}
    connection.execute(update(JOB).where(*_this(job), JOB.c.setting == job.setting).values(**later))
    _let_go(connection, job)


def postpone_undrained(connection: Connection, now: float, due_at: float) -> None:
    """Put off every due timer that waits for a drained queue: none of them needs to look at the queue by itself."""
    due = update(JOB).where(JOB.c.status == "waiting", JOB.c.when_drained == 1, JOB.c.due_at <= now)
    connection.execute(due.where(JOB.c.leased_until <= now).values(due_at=due_at))


def give_up(connection: Connection, job: Job, reason: str) -> None:
    """Keep the timer, with the reason, until it is set again."""
    dead = {"status": "dead", "reason": storable(reason, _REASON_CHARS)}
    connection.execute(update(JOB).where(*_this(job), JOB.c.setting == job.setting).values(**dead))
    _let_go(connection, job)


def put_off(connection: Connection, name: str) -> list[tuple[str, str, float]]:
    """Return the timers of a name that could not be brought to an end yet: key, why, and when they are next."""
    query = select(JOB.c.key, JOB.c.reason, JOB.c.due_at).where(JOB.c.name == name, JOB.c.status == "waiting")
    return [(row.key, row.reason, row.due_at) for row in connection.execute(query.where(JOB.c.reason != ""))]


def is_waiting(connection: Connection, name: str, key: str) -> bool:
    """Tell whether a timer is set."""
    query = select(JOB.c.status).where(JOB.c.name == name, JOB.c.key == key)
    return connection.execute(query).scalar() == "waiting"


def next_due(connection: Connection) -> float | None:
    """Return when the next timer is due (seconds since the epoch), None if none is set."""
    waiting = select(JOB.c.due_at).where(JOB.c.status == "waiting").order_by(JOB.c.due_at).limit(1)
    return connection.execute(waiting).scalar()


def dead(connection: Connection) -> list[tuple[str, str, str]]:
    """Return the timers that were given up: name, key, reason."""
    rows = connection.execute(select(JOB.c.name, JOB.c.key, JOB.c.reason).where(JOB.c.status == "dead"))
    return [(row.name, row.key, row.reason) for row in rows]


def _this(job: Job) -> tuple[Any, ...]:
    return JOB.c.name == job.name, JOB.c.key == job.key, JOB.c.token == job.token


def _let_go(connection: Connection, job: Job) -> bool:
    """Give up our hold of a timer; False when it was no longer ours."""
    free = update(JOB).where(*_this(job)).values(leased_until=0.0, token="")
    return connection.execute(free).rowcount == 1
