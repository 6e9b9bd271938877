"""Resetting a run on PostgreSQL while handlers are at work: never a row without its mark, nor a mark without a row."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, create_engine, delete, func, select, text

from harness.events import FakeProducer
from harness.support import wait_until
from testbus_consumers.registry import Instance
from testbus_consumers.replay.recomputing import reset
from testbus_consumers.runtime import Consumer, Done, Outcome, State, state
from testbus_consumers.runtime.delivery import Acknowledge
from testbus_consumers.settings import Section
from testbus_consumers.store.run_key import RunKey, run_columns
from testbus_consumers.store.tables import DELIVERY
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import ResultsRecorded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_schemas import Event

METADATA = MetaData()
SEEN = Table("seen", METADATA, Column("event_id", String(64), primary_key=True), *run_columns())

#: Seconds that a step may take on a busy machine.
PATIENCE_S = 60.0


class Nothing(Section):
    """No settings."""


def forget(key: RunKey, scope: State[Any]) -> None:
    """Delete the run's rows."""
    scope.execute(delete(SEEN).where(*key.rows(SEEN)))


class Gate:
    """Lets a handler wait in the middle of its transaction."""

    def __init__(self) -> None:
        """Begin open."""
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def record(self, event: Event[ResultsRecorded], scope: State[Any]) -> Outcome:
        """Write a row, and wait."""
        scope.execute(SEEN.insert().values(event_id=event.id, **RunKey.of(event.data.context).values))
        self.inside.set()
        assert self.go_on.wait(PATIENCE_S)
        return Done()


def complete(_closing: Any, _scope: Any) -> Outcome:
    """Do nothing: having it makes the runtime look for the run's decision."""
    return Done()


@pytest.fixture
def gate() -> Gate:
    """Give the handlers' gate."""
    return Gate()


@pytest.fixture
def harness(gate: Gate, database_url: str, tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Give a consumer on PostgreSQL."""
    consumer = Consumer(
        name="resetting",
        settings=Nothing,
        handlers={ResultsRecorded: state(gate.record)},
        on_complete=state(complete),
        metadata=METADATA,
        reset_run=forget,
    )
    with ConsumerHarness(consumer, tmp_path, state_url=database_url) as running:
        yield running
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text('DROP SCHEMA "testbus_resetting" CASCADE'))
    engine.dispose()


def counts(harness: ConsumerHarness) -> tuple[int, int]:
    """Return how many rows and marks there are."""
    with harness.policy.store.begin() as connection:
        rows = connection.execute(select(func.count()).select_from(SEEN)).scalar_one()
        marks = connection.execute(select(func.count()).select_from(DELIVERY)).scalar_one()
    return rows, marks


def instance(harness: ConsumerHarness) -> Instance:
    """Return what is reset."""
    return Instance(consumer=harness.policy.consumer, target=None, settings=harness.policy.settings)


def test_a_reset_waits_for_a_handler_under_way(harness: ConsumerHarness, gate: Gate) -> None:
    """The row and its mark go together, although the handler had begun before and ended after."""
    producer = FakeProducer(run="run-1")
    first, second = producer.results(test_a="passed"), producer.results(test_b="passed")
    assert isinstance(harness.deliver(first), Acknowledge)
    gate.inside.clear()
    gate.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        handling = threads.submit(harness.deliver, second)
        assert gate.inside.wait(PATIENCE_S)
        resetting = threads.submit(reset, harness.policy.store, instance(harness), RunKey("web", "run-1"))
        with pytest.raises(TimeoutError):
            resetting.result(1)
        gate.go_on.set()
        assert isinstance(handling.result(PATIENCE_S), Acknowledge)
        assert resetting.result(PATIENCE_S) == 2
    assert counts(harness) == (0, 0)
    assert isinstance(harness.deliver(first, second, replay="recompute:1"), Acknowledge)
    assert counts(harness) == (2, 2)


def test_resets_beside_many_deliveries_leave_nothing_torn(harness: ConsumerHarness) -> None:
    """After any number of resets, what is there has its mark, and what was sent again is all there."""
    producer = FakeProducer(run="run-1")
    events = [producer.results(**{f"test_{number}": "passed"}) for number in range(60)]
    over = threading.Event()

    def reset_again() -> int:
        done = 0
        while not over.is_set():
            reset(harness.policy.store, instance(harness), RunKey("web", "run-1"))
            done += 1
        return done

    with ThreadPoolExecutor(4) as threads:
        resetting = threads.submit(reset_again)
        try:
            for outcome in threads.map(harness.deliver, events):
                assert isinstance(outcome, Acknowledge)
        finally:
            over.set()
        assert resetting.result(PATIENCE_S) > 0
    rows, marks = counts(harness)
    assert rows == marks
    harness.deliver(*events, replay="recompute:1")
    wait_until(lambda: counts(harness) == (60, 60), PATIENCE_S, "every event is there once")
