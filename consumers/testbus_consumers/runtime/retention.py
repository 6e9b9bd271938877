"""Retention: a timer of each queue prunes what is too old, every hour, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, delete, or_, select, tuple_

from testbus_consumers.store import jobs
from testbus_consumers.store.tables import DELIVERY, INTENT, JOB, LEASE, RUN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import ColumnElement, Connection, Table

    from testbus_consumers.runtime.policy import Policy

#: Rows of one table that one transaction deletes: few enough not to hold up those who handle events.
BATCH: Final = 500


def prune(connection: Connection, before: float, by_run: Iterable[Table]) -> bool:
    """Delete a batch of what has not changed since a moment (seconds since the epoch); True when there may be more.

    The ledger is what decides: once nothing of a run is left in it, the run's rows in `by_run` (tables with the
    columns `project` and `run`) and its decision go too. Unsent events and waiting timers stay, whatever their age.
    """
    more = [
        _ledger(connection, before, by_run),
        _batch(connection, INTENT, or_(INTENT.c.done_at < before, _never_done(before))),
        _batch(connection, LEASE, LEASE.c.expires_at < before),
        _batch(connection, JOB, and_(JOB.c.status == "dead", JOB.c.due_at < before)),
    ]
    return any(more)


def _ledger(connection: Connection, before: float, by_run: Iterable[Table]) -> bool:
    old = select(DELIVERY.c.event_id, DELIVERY.c.project, DELIVERY.c.run).where(DELIVERY.c.updated_at < before)
    rows = connection.execute(old.order_by(DELIVERY.c.updated_at).limit(BATCH)).all()
    if not rows:
        return False
    connection.execute(delete(DELIVERY).where(DELIVERY.c.event_id.in_([row.event_id for row in rows])))
    runs = {(row.project, row.run) for row in rows}
    left = select(DELIVERY.c.project, DELIVERY.c.run).where(_of_runs(DELIVERY, runs)).distinct()
    gone = runs - {(row.project, row.run) for row in connection.execute(left)}
    for table in (*by_run, RUN) if gone else ():
        connection.execute(delete(table).where(_of_runs(table, gone)))
    return len(rows) == BATCH


def _of_runs(table: Table, runs: Collection[tuple[str, str]]) -> ColumnElement[bool]:
    return tuple_(table.c.project, table.c.run).in_(sorted(runs))


def _never_done(before: float) -> ColumnElement[bool]:
    """Return what tells an intent of which nobody has asked for so long that nobody will."""
    return and_(INTENT.c.done_at.is_(None), INTENT.c.begun_at < before)


def _batch(connection: Connection, table: Table, old: ColumnElement[bool]) -> bool:
    keys = list(table.primary_key.columns)
    rows = connection.execute(select(*keys).where(old).limit(BATCH)).all()
    for row in rows:
        connection.execute(delete(table).where(old, *(key == value for key, value in zip(keys, row, strict=True))))
    return len(rows) == BATCH


#: Name and key of the timer: one row for each queue, whatever the number of its workers.
PRUNE_JOB: Final = "testbus.prune"

#: Seconds between two prunings, counted from the hour: it does not matter when a worker was started.
EVERY_S: Final = 3600.0


def begin(policy: Policy) -> None:
    """Set the timer, unless it is set."""
    with policy.store.begin() as connection:
        if not jobs.is_waiting(connection, PRUNE_JOB, PRUNE_JOB):
            jobs.schedule(connection, PRUNE_JOB, PRUNE_JOB, _next(policy), {})


def run(policy: Policy, connection: Connection) -> None:
    """Prune a batch, and set the timer again: for now where there is more, else for the next hour."""
    more = prune(connection, policy.clock() - policy.keep_s, policy.consumer.by_run)
    if policy.consumer.keeps is not None:
        more |= policy.consumer.keeps.delete_bodies(connection, policy.clock() - policy.keep_bodies_s)
    jobs.schedule(connection, PRUNE_JOB, PRUNE_JOB, policy.clock() if more else _next(policy), {})


def _next(policy: Policy) -> float:
    return (policy.clock() // EVERY_S + 1) * EVERY_S
