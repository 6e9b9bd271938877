"""`runs` on PostgreSQL with eight workers: each run is decided exactly once by whoever sees its last event."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, select, text

from harness.events import FakeProducer
from testbus_consumers.records.tables import RUN
from testbus_consumers.runs import CONSUMER, decisions
from testbus_consumers.runtime.delivery import Acknowledge, Delivery
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from testbus_consumers.runtime.delivery import Settlement
    from testbus_consumers.store.run_key import RunKey
    from testbus_schemas import Event, EventData

pytestmark = pytest.mark.slow

#: Runs, their shards, and workers.
RUNS, SHARDS, WORKERS = 150, 3, 8


@pytest.fixture
def runs(database_url: str, tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Give the consumer on PostgreSQL, with a deadline that any pause exceeds."""
    with ConsumerHarness(CONSUMER, tmp_path, {"deadline_s": 0.001}, state_url=database_url) as harness:
        yield harness
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text('DROP SCHEMA "testbus_runs" CASCADE'))
    engine.dispose()


def shards_of_runs() -> list[list[Event[EventData]]]:
    """Return the events of each shard of all runs, in three shards each."""
    places = [(run, index) for run in range(RUNS) for index in range(1, SHARDS + 1)]
    shards = [
        FakeProducer(f"r{run}-p{index}", run=f"run-{run}", shard={"index": index, "total": SHARDS})
        for run, index in places
    ]
    return [one.whole(**{f"test_{one.name}": "passed"}) for one in shards]


def shuffled(seed: int) -> list[Event[EventData]]:
    """Return the events of all runs in any order, some of them twice."""
    chance = random.Random(seed)
    events = [event for shard in shards_of_runs() for event in shard]
    events += chance.sample(events, len(events) // 10)
    chance.shuffle(events)
    return events


def ending_together() -> list[Event[EventData]]:
    """Return the events of all runs, of each the last ones of its shards side by side."""
    shards = shards_of_runs()
    return [event for shard in shards for event in shard[:-1]] + [shard[-1] for shard in shards]


def deliver(runs: ConsumerHarness, events: Sequence[Event[EventData]]) -> Counter[type[Settlement]]:
    """Deliver the events by many workers at once, and return how often each was settled in which way."""

    def one(event: Event[EventData]) -> type[Settlement]:
        encoded = encode(event)
        delivery = Delivery(body=encoded.body, content_encoding=encoded.content_encoding, routing_key=event.routing_key)
        return type(runs.policy.deliver(delivery))

    with ThreadPoolExecutor(WORKERS) as workers:
        return Counter(workers.map(one, events))


def decided(runs: ConsumerHarness) -> Counter[str]:
    """Return how many runs were decided how often: `completed 1` → 150."""
    with runs.policy.store.begin() as connection:
        return Counter(f"{row.status} {row.revision}" for row in connection.execute(select(RUN)))


def test_each_run_is_decided_exactly_once(runs: ConsumerHarness) -> None:
    """No deadlock, no event tried again, whatever meets whatever."""
    events = shuffled(5)
    assert deliver(runs, events) == {Acknowledge: len(events)}
    assert decided(runs) == {"completed 1": RUNS}
    assert {event.data.total for event in runs.emitted} == {SHARDS}  # type: ignore[attr-defined]


def test_who_does_not_lock_the_run_misses_decisions(runs: ConsumerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would find it."""

    def look(key: RunKey, state: Any) -> Any:
        found = state.execute(select(*decisions._HELD).where(*key.rows(RUN))).one_or_none()
        # As on a slow machine: until the others have looked, too.
        time.sleep(0.01)
        return found

    monkeypatch.setattr(decisions, "lock", look)
    deliver(runs, ending_together())
    assert decided(runs) != {"completed 1": RUNS}


def test_giving_up_in_the_middle_loses_nothing(runs: ConsumerHarness) -> None:
    """The timer goes off all the time: what comes later reopens the run, and the last decision is about everything."""
    over = threading.Event()

    def give_up() -> int:
        ran = 0
        while not over.is_set():
            ran += runs.run_timers(0.01)
        return ran

    with ThreadPoolExecutor(1) as timer:
        giving_up = timer.submit(give_up)
        try:
            settled = deliver(runs, shuffled(7))
        finally:
            over.set()
        assert giving_up.result() > 0
    assert set(settled) == {Acknowledge}
    with runs.policy.store.begin() as connection:
        assert {row.status for row in connection.execute(select(RUN.c.status))} == {"completed"}
    last: dict[str, Any] = {}
    for event in runs.emitted:
        revision = (event.data.revision, event.name != "run.reopened")  # type: ignore[attr-defined]
        if revision > last.get(event.subject, ((0, False), None))[0]:
            last[event.subject] = (revision, event.data)
    assert len(last) == RUNS
    assert {data.total for _, data in last.values()} == {SHARDS}
    assert any(event.name == "run.interrupted" for event in runs.emitted)
