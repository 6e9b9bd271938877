"""What the states of all queues say, side by side: where events are, what runs lack, how each queue gets on."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import column, select, table
from sqlalchemy.exc import DBAPIError

from testbus_consumers import registry
from testbus_consumers.records.reading import QUEUE, Records
from testbus_consumers.records.tables import PRODUCER, SHARDS
from testbus_consumers.runs.completeness import assess
from testbus_consumers.runs.producers import facts
from testbus_consumers.runtime.completion import COMPLETE_JOB
from testbus_consumers.store import control, deliveries, jobs, open_store
from testbus_consumers.store.deliveries import Status
from testbus_consumers.store.engine import exists, parse_url, unusable
from testbus_consumers.store.reader import StateReader
from testbus_consumers.store.run_key import RunKey
from testbus_consumers.store.tables import CONTROL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sqlalchemy import Connection, Select

    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import Settings
    from testbus_consumers.store.control import Control
    from testbus_consumers.store.deliveries import Ledgered, Pulse

T = TypeVar("T")

#: Types of the events that carry a decision about a run.
_DECISIONS = frozenset({"run.completed", "run.interrupted"})


def of_run(settings: Settings, run: str, state_url: str) -> dict[str, list[Ledgered]]:
    """Return what each queue did with each event of a run, oldest first. Raises StateError when it cannot be read."""
    found = {}
    for instance in registry.instances(settings):
        if not instance.handles_events:
            continue
        try:
            found[instance.label] = _read(state_url, instance, lambda connection: with_timers(connection, run))
        except DBAPIError as error:
            raise unusable(instance.label, error) from None
    return found


def with_timers(connection: Connection, run: str) -> list[Ledgered]:
    """Return what a queue did with each event of a run; what follows from its latest decision may still wait.

    The decision's event itself is done: it only sets the timer that does the work.
    """
    rows = deliveries.of_run(connection, run)
    for key, reason, due_at in jobs.put_off(connection, COMPLETE_JOB):
        if RunKey.parse(key).run != run:
            continue
        decisions = [row for row in rows if row.type in _DECISIONS and row.status is Status.DONE]
        if decisions:
            latest = max(decisions, key=lambda row: row.recorded_at)
            waiting = replace(latest, status=Status.RETRYING, reason=reason, next_at=due_at)
            rows = [waiting if row is latest else row for row in rows]
    return rows


def postponed(connection: Connection) -> int:
    """Return how many runs' decisions wait to be acted on once more."""
    return len(jobs.put_off(connection, COMPLETE_JOB))


def waiting_runs(settings: Settings, state_url: str) -> dict[str, int | None]:
    """Return how many runs of each queue wait so; None where that cannot be read."""
    return _each(settings, state_url, postponed)


def pulses(settings: Settings, state_url: str, since: float) -> dict[str, Pulse | None]:
    """Return how each queue gets on; None where its state cannot be read, or is not there yet."""
    return _each(settings, state_url, lambda connection: deliveries.pulse(connection, since))


def controls(settings: Settings, state_url: str) -> dict[str, Control | None]:
    """Return each queue's control row; None where there is none yet, or its state cannot be read."""
    return _each(settings, state_url, control.read)


def seen(state_url: str, instance: Instance, event_ids: Collection[str]) -> set[str]:
    """Return those of the events that ever reached a queue; none where its state cannot be read."""
    try:
        return _read(state_url, instance, lambda connection: deliveries.seen(connection, event_ids))
    except DBAPIError:
        return set()


def queues(state_url: str) -> frozenset[str]:
    """Return every queue that ever had a worker with its state here, configured or not; empty when nobody can tell."""
    url = parse_url(state_url)
    if url.get_backend_name() == "sqlite":
        return frozenset(file.stem for file in Path(url.database or "").glob("*.sqlite3"))
    # Any name will do: the schemas of all queues are in one database.
    store = open_store(state_url, "runs")
    try:
        with store.begin() as connection:
            tables: Select[tuple[str]] = select(column("table_schema")).select_from(
                table("tables", schema="information_schema")
            )
            schemas = connection.execute(tables.where(column("table_name") == CONTROL.name)).scalars().all()
            named = [table(CONTROL.name, column(CONTROL.c.queue.name), schema=schema) for schema in schemas]
            return frozenset(name for one in named for name in connection.execute(select(one.c.queue)).scalars())
    except DBAPIError:
        return frozenset()
    finally:
        store.close()


def _each(settings: Settings, state_url: str, read: Callable[[Connection], T | None]) -> dict[str, T | None]:
    found: dict[str, T | None] = {}
    for instance in registry.instances(settings):
        try:
            there = exists(state_url, instance.queue)
            found[instance.label] = _read(state_url, instance, read) if there else None
        except DBAPIError:
            found[instance.label] = None
    return found


def _read(state_url: str, instance: Instance, read: Callable[[Connection], T]) -> T:
    store = open_store(state_url, instance.queue)
    try:
        with store.begin() as connection:
            return read(connection)
    finally:
        store.close()


@contextmanager
def records(state_url: str) -> Iterator[Records]:
    """Give what `runs` keeps, to be read only. Raises StateError."""
    found = Records(StateReader(state_url))
    try:
        yield found
    except DBAPIError as error:
        raise unusable(QUEUE, error) from None
    finally:
        found.close()


def awaited(state_url: str, key: RunKey) -> tuple[str, ...]:
    """Return what an open run still lacks, for people. Raises StateError."""
    reader = StateReader(state_url)
    try:
        with reader.of(QUEUE) as connection:
            rows = connection.execute(select(PRODUCER).where(*key.rows(PRODUCER)))
            totals = {row.variant: row.total for row in connection.execute(select(SHARDS).where(*key.rows(SHARDS)))}
            return assess(facts(rows, time.time()), totals).awaited
    except DBAPIError as error:
        raise unusable(QUEUE, error) from None
    finally:
        reader.close()
