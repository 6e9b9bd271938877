"""Progress: how much of a run has passed through this queue, and whether that is all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from testbus_consumers.store.engine import insert
from testbus_consumers.store.run_key import RunKey
from testbus_consumers.store.tables import PROGRESS, RUN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from testbus_schemas import Event, EventData


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """What this queue knows of a run's completeness."""

    #: Highest decision received; 0 before any.
    revision: int
    #: Highest decision acted upon.
    fired: int
    #: The event that carried the decision (plain JSON bytes).
    decision: bytes | None


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What a decision expects and this queue lacks."""

    #: Events never seen here, by type.
    unseen: Mapping[str, int]
    #: Events given up here, by type.
    dead: Mapping[str, int]


def lock_run(connection: Connection, key: RunKey, now: float) -> RunRow:
    """Take the run's row, creating it: from here to the end of the transaction nobody else counts for this run.

    Without the row as a lock two workers could each miss the other's uncommitted count, and neither would see the run
    as complete.
    """
    statement = insert(connection, RUN).values(**key.values, revision=0, fired=0, updated_at=now)
    statement = statement.on_conflict_do_update(index_elements=[RUN.c.project, RUN.c.run], set_={"updated_at": now})
    row = connection.execute(statement.returning(RUN.c.revision, RUN.c.fired, RUN.c.decision)).one()
    return RunRow(revision=row.revision, fired=row.fired, decision=row.decision)


def count(connection: Connection, event: Event[EventData], *, settled: int, dead: int) -> None:
    """Count a producer's event; uncounted ones (heartbeats, derived events) are passed over."""
    origin = event.data.producer
    if origin is None or origin.sequence is None:
        return
    statement = insert(connection, PROGRESS).values(
        **RunKey.of(event.data.context).values, producer=origin.id, type=event.name, settled=settled, dead=dead
    )
    keys = [PROGRESS.c.project, PROGRESS.c.run, PROGRESS.c.producer, PROGRESS.c.type]
    sums = {"settled": PROGRESS.c.settled + settled, "dead": PROGRESS.c.dead + dead}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=sums))


def decide(connection: Connection, key: RunKey, revision: int, decision: bytes) -> None:
    """Keep a higher decision about a run."""
    changed = update(RUN).where(*key.rows(RUN), RUN.c.revision < revision)
    connection.execute(changed.values(revision=revision, decision=decision))


def fire(connection: Connection, key: RunKey, revision: int) -> bool:
    """Mark a decision as acted upon; False when it, or a higher one, already was."""
    changed = update(RUN).where(*key.rows(RUN), RUN.c.fired < revision).values(fired=revision)
    return connection.execute(changed).rowcount == 1


def reset(connection: Connection, key: RunKey) -> None:
    """Forget what was counted of a run, and that its decision was acted on; the decision itself holds."""
    connection.execute(delete(PROGRESS).where(*key.rows(PROGRESS)))
    connection.execute(update(RUN).where(*key.rows(RUN)).values(fired=0))


def missing(
    connection: Connection, key: RunKey, expected: Mapping[str, Mapping[str, int]], counted: frozenset[str]
) -> Missing:
    """Return what is missing of the expected counts (producer → type → count), for the types counted here."""
    rows = connection.execute(select(PROGRESS).where(*key.rows(PROGRESS)))
    seen = {(row.producer, row.type): (row.settled, row.dead) for row in rows}
    unseen: dict[str, int] = {}
    dead: dict[str, int] = {}
    for producer, types in expected.items():
        for kind in counted & types.keys():
            settled_here, dead_here = seen.get((producer, kind), (0, 0))
            if lacking := types[kind] - settled_here - dead_here:
                unseen[kind] = unseen.get(kind, 0) + max(0, lacking)
            if dead_here:
                dead[kind] = dead.get(kind, 0) + dead_here
    return Missing(unseen={kind: n for kind, n in unseen.items() if n}, dead=dead)
