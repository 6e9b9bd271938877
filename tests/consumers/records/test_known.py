"""What the record knows of a run's code and place: the same in whatever order its events came."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import strategies as made
from harness.events import FakeProducer
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import (
    Benchmark,
    BenchmarksRecorded,
    ChangedFile,
    ChangeRecorded,
    Commit,
    EnvironmentRecorded,
    Metric,
    MetricsRecorded,
    RunCompleted,
    RunInterrupted,
)
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_consumers.records.reading import Record
    from testbus_schemas import Event, EventData

TREE = "fedcba9876543210fedcba9876543210fedcba98"
BASE = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsumerHarness]:
    """Return a `runs` for many runs."""
    with ConsumerHarness(RUNS, tmp_path_factory.mktemp("known")) as harness:
        yield harness


def decided(runs: ConsumerHarness, run: str) -> tuple[Record, Any]:
    """Return the record of the latest decision about a run, and what that says."""
    decisions = [event.data for event in runs.emitted if isinstance(event.data, RunCompleted | RunInterrupted)]
    latest = max((one for one in decisions if one.context.run == run), key=lambda one: one.revision)
    assert runs.policy.records is not None
    return runs.policy.records.open(latest.context, latest.revision), latest


def whole(producer: FakeProducer, *recorded: tuple[type[EventData], dict[str, Any]]) -> list[Event[EventData]]:
    """Return the events of a producer that records these, and has one test."""
    events = [producer.started(), producer.results(test="passed")]
    return [*events, *(producer.recorded(model, **data) for model, data in recorded), producer.finished()]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_everything_that_is_recorded_is_read_as_it_was_sent(
    runs: ConsumerHarness, data: st.DataObject, seed: int
) -> None:
    """Any values, in any order; of one name and test the last value holds, of several changes the smallest id's."""
    run = new_id()
    drawn = {
        MetricsRecorded: {"metrics": data.draw(st.lists(made.metrics, max_size=4).map(tuple))},
        BenchmarksRecorded: {"benchmarks": data.draw(st.lists(made.benchmarks, max_size=4).map(tuple))},
        EnvironmentRecorded: {"python": data.draw(made.texts), "flags": data.draw(made.dicts(made.texts))},
        ChangeRecorded: {
            "tree": TREE,
            "merge_base": data.draw(made.maybe(made.commit_ids)),
            "files": data.draw(st.lists(made.changed_files, max_size=3).map(tuple)),
            "commits": data.draw(st.lists(made.commits, max_size=3).map(tuple)),
        },
    }
    first, second = (FakeProducer(f"{name}-{run}", run=run) for name in ("a", "b"))
    events = whole(first, *drawn.items()) + whole(second, (ChangeRecorded, {"tree": BASE}))
    random.Random(seed).shuffle(events)
    runs.deliver(*events)
    record, decision = decided(runs, run)
    assert isinstance(decision, RunCompleted)
    assert _found(record, first.name) == {
        Metric: {(one.node_id or "", one.name): one for one in drawn[MetricsRecorded]["metrics"]},
        Benchmark: {(one.node_id or "", one.name): one for one in drawn[BenchmarksRecorded]["benchmarks"]},
    }
    change = record.change()
    assert change is not None
    assert (change.tree, change.files, change.commits) == (
        TREE,
        drawn[ChangeRecorded]["files"],
        drawn[ChangeRecorded]["commits"],
    )
    environment = record.environment()
    if any(drawn[EnvironmentRecorded].values()):
        assert environment[first.name].flags == drawn[EnvironmentRecorded]["flags"]
        assert environment[first.name].python == drawn[EnvironmentRecorded]["python"]
    else:
        assert environment == {}


def _found(record: Record, producer: str) -> dict[Any, Any]:
    return {
        Metric: {(one.node_id or "", one.name): one for name, one in record.metrics() if name == producer},
        Benchmark: {(one.node_id or "", one.name): one for name, one in record.benchmarks() if name == producer},
    }


def test_an_attempt_that_was_replaced_says_nothing_any_more(runs: ConsumerHarness) -> None:
    """Neither of its change nor of its place; the row of the run follows."""
    run = new_id()
    author = Commit(id=TREE, author="Ada")
    old = FakeProducer(f"a-{run}", run=run)
    runs.deliver(*whole(old, (ChangeRecorded, {"tree": BASE, "merge_base": BASE, "commits": (author,)})))
    record, decision = decided(runs, run)
    assert runs.policy.records is not None
    summary = runs.policy.records.get(decision.context.project, run)
    assert summary is not None
    assert (summary.merge_base, summary.author) == (BASE, "Ada")
    new = FakeProducer(f"b-{run}", run=run, attempt=2)
    runs.deliver(*whole(new, (EnvironmentRecorded, {"python": "CPython 3.12.4"})))
    record, decision = decided(runs, run)
    summary = runs.policy.records.get(decision.context.project, run)
    assert summary is not None
    assert (summary.merge_base, summary.author) == (None, None)
    assert record.change() is None
    assert list(record.environment()) == [new.name]
    assert not list(record.metrics())


def test_a_line_set_that_is_none_is_a_fault_that_is_named(runs: ConsumerHarness) -> None:
    """The event is kept and counted all the same, as any that cannot be used."""
    run = new_id()
    producer = FakeProducer(f"a-{run}", run=run)
    wrong = {"tree": TREE, "files": (ChangedFile(path="a.py", added="many"),)}
    runs.deliver(*whole(producer, (ChangeRecorded, wrong)))
    record, decision = decided(runs, run)
    assert isinstance(decision, RunInterrupted)
    assert "(change.recorded) cannot be used: line set 'many'" in decision.reasons[0]
    assert record.change() is None
