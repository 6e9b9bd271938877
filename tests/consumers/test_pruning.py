"""State is bounded: what no event can ask for any more goes by itself, what is young stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from harness.events import FakeProducer
from testbus_consumers.gates import CONSUMER as GATES
from testbus_consumers.gates.tables import VERDICT
from testbus_consumers.records.tables import DECISION, EVENT, FOLD, OVERRIDE, PART, RUN
from testbus_consumers.records.tables import METADATA as RUNS_TABLES
from testbus_consumers.registry import BUILT_IN, load_consumer
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.runtime import retention
from testbus_consumers.store import intents, jobs, leases
from testbus_consumers.store.tables import DELIVERY, INTENT, JOB, LEASE, METADATA, OUTBOX
from testbus_consumers.testing import ConsumerHarness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Table

    from testbus_schemas import Event, EventData

#: Seconds of a day, and days that state is kept by default.
DAY, KEPT = 86400, 28


@pytest.fixture(params=[RUNS, GATES], ids=["runs", "gates"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Return a consumer that looks after its state."""
    with ConsumerHarness(request.param, tmp_path) as made:
        retention.begin(made.policy)
        yield made


def rows(harness: ConsumerHarness, table: Table) -> int:
    """Return how many rows a table has."""
    with harness.policy.store.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def size(harness: ConsumerHarness) -> dict[str, int]:
    """Return how many rows there are, in every table that has any; the timer that prunes is left out."""
    tables = (*METADATA.sorted_tables, *harness.policy.consumer.metadata.sorted_tables)  # type: ignore[union-attr]
    found = {table.name: rows(harness, table) - (table is JOB) for table in tables}
    return {name: count for name, count in found.items() if count}


def a_run(harness: ConsumerHarness, number: int) -> None:
    """Deliver a whole run, with its decision where that is wanted."""
    producer = FakeProducer(f"p{number}", run=f"run-{number}")
    events = [producer.started(), producer.collected("test_a"), producer.results(test_a="failed")]
    events += [producer.coverage("a.py", "1-9", "1-8"), producer.finished()]
    hear(harness, *events)


def hear(harness: ConsumerHarness, *events: Event[EventData]) -> None:
    """Deliver events of producers, or what `runs` decides of them."""
    if harness.policy.consumer is RUNS:
        harness.deliver(*events)
        return
    with ConsumerHarness(RUNS, harness_folder(harness)) as runs:
        runs.deliver(*events)
        harness.deliver(*runs.emitted)


def harness_folder(harness: ConsumerHarness) -> Path:
    """Return the folder of a harness."""
    return Path(str(harness.policy.store.engine.url.database)).parent


def test_nothing_is_left_of_what_is_old(harness: ConsumerHarness) -> None:
    """Whatever a run left behind, of the runtime or the consumer."""
    a_run(harness, 1)
    assert len(size(harness)) > 2
    harness.run_timers((KEPT - 1) * DAY)
    assert "testbus_delivery" in size(harness)
    harness.run_timers(2 * DAY)
    assert size(harness) == {}


def test_what_is_young_stays(harness: ConsumerHarness) -> None:
    """A run that began later keeps all of its rows when an older one goes; the older one's return is no harm."""
    a_run(harness, 1)
    before = size(harness)
    harness.run_timers(20 * DAY)
    a_run(harness, 2)
    harness.run_timers(9 * DAY)
    assert size(harness) == before
    with harness.policy.store.begin() as connection:
        assert set(connection.execute(select(DELIVERY.c.run)).scalars()) == {"run-2"}


def test_a_run_lives_as_long_as_anything_is_heard_of_it(harness: ConsumerHarness) -> None:
    """Its old events are forgotten, what they said is not."""
    a_run(harness, 1)
    table = RUN if harness.policy.consumer is RUNS else VERDICT
    harness.run_timers(20 * DAY)
    late = FakeProducer("late", run="run-1")
    hear(harness, *late.whole(test_b="passed"))
    harness.run_timers(9 * DAY)
    assert rows(harness, table) > 0
    assert "run-1" in {row.run for row in everything(harness, table)}
    harness.run_timers(30 * DAY)
    assert size(harness) == {}


def everything(harness: ConsumerHarness, table: Table) -> list[Any]:
    """Return all rows of a table."""
    with harness.policy.store.begin() as connection:
        return list(connection.execute(select(table)))


def test_the_state_is_bounded(tmp_path: Path) -> None:
    """A run a day for six weeks: after the first month nothing grows any more."""
    with ConsumerHarness(RUNS, tmp_path) as harness:
        retention.begin(harness.policy)
        sizes = []
        for day in range(45):
            a_run(harness, day)
            harness.run_timers(DAY)
            sizes.append(sum(size(harness).values()))
    assert max(sizes[KEPT + 1 :]) <= sizes[KEPT]
    assert sizes[5] > sizes[0]


def test_more_than_a_batch_goes_batch_by_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that has not been looked after for long is caught up at once, in transactions of a bounded size."""
    monkeypatch.setattr(retention, "BATCH", 3)
    with ConsumerHarness(RUNS, tmp_path) as harness:
        for number in range(4):
            a_run(harness, number)
        retention.begin(harness.policy)
        assert harness.run_timers(60 * DAY) >= 7
        assert size(harness) == {}


def test_what_is_unsent_or_still_to_be_done_stays_whatever_its_age(tmp_path: Path) -> None:
    """Timers that wait, and events that no broker has confirmed; leftovers of leases, intents and dead timers go."""
    with ConsumerHarness(RUNS, tmp_path) as harness:
        now = harness.now.timestamp()
        with harness.policy.store.begin() as connection:
            jobs.schedule(connection, "far", "1", now + 1000 * DAY, {})
            jobs.schedule(connection, "nobody's", "1", now, {})
            leases.acquire(connection, "left behind", now, 30)
            intents.begin(connection, "never done", now)
            intents.begin(connection, "done", now)
            intents.resolve(connection, "done", {}, now)
            unsent = {"cause": "x", "event_id": "e", "routing_key": "k", "body": b"", "created_at": now}
            connection.execute(OUTBOX.insert().values(**unsent))
        retention.begin(harness.policy)
        harness.run_timers(1)
        assert (rows(harness, LEASE), rows(harness, INTENT), rows(harness, JOB)) == (1, 2, 3)
        harness.run_timers((KEPT + 1) * DAY)
        assert (rows(harness, LEASE), rows(harness, INTENT), rows(harness, OUTBOX)) == (0, 0, 1)
        assert {row.name for row in everything(harness, JOB)} == {"far", retention.PRUNE_JOB}


def test_any_number_of_workers_set_one_timer(tmp_path: Path) -> None:
    """And none of them puts off what another has set."""
    with ConsumerHarness(RUNS, tmp_path) as harness:
        for _ in range(3):
            retention.begin(harness.policy)
        assert rows(harness, JOB) == 1
        assert harness.run_timers(retention.EVERY_S) == 1
        assert harness.run_timers(retention.EVERY_S - 1) <= 1


def test_keep_days_is_configured(tmp_path: Path) -> None:
    """Who keeps the stream for longer keeps its marks for longer."""
    with ConsumerHarness(RUNS, tmp_path) as harness:
        object.__setattr__(harness.policy, "keep_s", 3 * DAY)
        retention.begin(harness.policy)
        a_run(harness, 1)
        harness.run_timers(2 * DAY)
        assert size(harness)
        harness.run_timers(2 * DAY)
        assert size(harness) == {}


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_tables_that_go_by_run_say_whose_rows_they_hold(name: str) -> None:
    """Each has the columns `project` and `run`, and belongs to the consumer."""
    consumer = load_consumer(name)
    for table in consumer.by_run:
        assert {"project", "run"} <= set(table.columns.keys())
        assert consumer.metadata is not None
        assert table.name in consumer.metadata.tables


def test_everything_that_runs_and_gates_keep_goes_by_run() -> None:
    """No table of theirs grows for ever; what people decided does not grow with runs."""
    assert {table.name for table in RUNS.by_run} == set(RUNS_TABLES.tables) - {OVERRIDE.name}
    assert {VERDICT} <= set(GATES.by_run)
    assert {EVENT, PART, DECISION, FOLD} <= set(RUNS.by_run)


def bodies(runs: ConsumerHarness) -> dict[str, int]:
    """Return how many events of each run can be read as they came."""
    with runs.policy.store.begin() as connection:
        rows = connection.execute(select(EVENT.c.run, func.count(EVENT.c.body).label("count")).group_by(EVENT.c.run))
        return {row.run: row.count for row in rows}


def recomputable(runs: ConsumerHarness) -> set[str]:
    """Return the runs that `testbus replay runs --recompute` would recompute."""
    assert RUNS.keeps is not None
    with runs.policy.store.begin() as connection:
        found = RUNS.keeps.runs(connection, since=None, until=None, run=None, project=None, kind=None)
    return {one.key.run for one in found if one.whole}


def test_bodies_go_before_what_was_made_of_them(tmp_path: Path) -> None:
    """By run, once nothing was heard of it for long enough; its record is read as before, and recomputed no more."""
    with ConsumerHarness(RUNS, tmp_path) as runs:
        retention.begin(runs.policy)
        for number in range(1, 43):
            runs.deliver(*FakeProducer(f"p{number}", run=f"run-{number}").whole(test_a="failed"))
        runs.run_timers(10 * DAY)
        runs.deliver(*FakeProducer("late", run="run-1").whole(test_b="passed"))
        a_run(runs, 43)
        runs.run_timers(5 * DAY)
        # What a producer said of itself, at its start and its end, stays.
        small = dict.fromkeys((f"run-{number}" for number in range(2, 43)), 2)
        assert bodies(runs) == small | {"run-1": 8, "run-43": 5}
        assert runs.policy.records is not None
        (second,) = runs.policy.records.named("run-2")
        record = runs.policy.records.open(second.context, second.revision)
        assert [test.node_id for test in record.failures()] == ["test_a"]
        assert recomputable(runs) == {"run-1", "run-43"}
        runs.run_timers(10 * DAY)
        assert bodies(runs) == small | {"run-1": 4, "run-43": 2}
