"""Runs that are recomputed from the events that `runs` keeps: the same decision by the same id, or a new one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from harness.events import FakeProducer
from testbus_consumers.records import facts, keeping
from testbus_consumers.records.tables import EVENT, METADATA, PRODUCER, RUN
from testbus_consumers.runs import CONSUMER, recomputing
from testbus_consumers.store import jobs
from testbus_consumers.store.run_key import RunKey
from testbus_consumers.testing import ConsumerHarness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = RunKey("web", "run-1")

#: Columns that tell when, and not what.
TIMES = {"decided_at", "silent_at", "heard_at"}


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Give the consumer."""
    with ConsumerHarness(CONSUMER, tmp_path, {"deadline_s": 60}) as harness:
        yield harness


def recompute(runs: ConsumerHarness) -> None:
    """Recompute the run, as `testbus replay runs --recompute` asks for it."""
    with runs.policy.store.begin() as connection:
        now = runs.now.timestamp()
        jobs.schedule(connection, recomputing.JOB, str(KEY), now, KEY.values, replay="recompute:1")
    runs.run_timers(1)


def tables(runs: ConsumerHarness) -> dict[str, list[dict[str, Any]]]:
    """Return everything that is kept, but for times."""
    with runs.policy.store.begin() as connection:
        return {
            table.name: [
                {name: value for name, value in row.items() if name not in TIMES}
                for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            ]
            for table in METADATA.sorted_tables
        }


def decisions(runs: ConsumerHarness) -> list[tuple[str, int]]:
    """Return the decisions and reopenings so far, with their numbers."""
    return [(event.name, event.data.revision) for event in runs.emitted]  # type: ignore[attr-defined]


def test_a_decision_that_holds_is_told_under_its_number_and_its_id(runs: ConsumerHarness) -> None:
    """And every row is as before."""
    runs.deliver(*FakeProducer("p1").whole(test_a="passed"), *FakeProducer("p2").whole(test_b="failed"))
    before, ids = tables(runs), [event.id for event in runs.emitted]
    recompute(runs)
    assert runs.emitted[-1].id == ids[-1]
    assert {event.id for event in runs.emitted} == set(ids)
    assert tables(runs) == before


def test_a_run_that_was_corrected_comes_out_as_it_was_in_the_end(runs: ConsumerHarness) -> None:
    """Revision 2 stays revision 2: a lower one would be believed by nobody."""
    runs.deliver(*FakeProducer("p1").whole(test_a="passed"))
    runs.deliver(*FakeProducer("p2").whole(test_b="passed"))
    before = tables(runs)
    recompute(runs)
    assert decisions(runs)[-1] == ("run.completed", 2)
    assert runs.emitted[-1].id == runs.emitted[-2].id
    assert tables(runs) == before


def test_a_run_that_was_given_up_is_given_up_for_the_same_reasons(runs: ConsumerHarness) -> None:
    """With the same number and id, at once."""
    runs.deliver(*FakeProducer("p1").whole(test_a="passed")[:3])
    runs.run_timers(61)
    before = tables(runs)
    recompute(runs)
    assert decisions(runs) == [("run.interrupted", 1)] * 2
    assert runs.emitted[0].id == runs.emitted[1].id
    assert tables(runs) == before


def test_an_open_run_stays_open_and_is_decided_by_its_last_event(runs: ConsumerHarness) -> None:
    """Nothing is said of it in between."""
    events = FakeProducer("p1").whole(test_a="passed")
    runs.deliver(*events[:3])
    recompute(runs)
    assert decisions(runs) == []
    runs.deliver(events[3])
    assert decisions(runs) == [("run.completed", 1)]


def test_events_that_could_not_be_used_are_by_code_that_can(
    runs: ConsumerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mended fault makes the run good: another decision, which everybody hears of."""

    def broken(event: Any) -> Any:
        return (None, "not understood") if event.name == "results.recorded" else facts.facts_of(event)

    monkeypatch.setattr(keeping, "facts_of", broken)
    runs.deliver(*FakeProducer("p1").whole(test_a="failed"))
    assert decisions(runs) == [("run.interrupted", 1)]
    assert runs.emitted[0].data.counts == {"not_run": 1}  # type: ignore[attr-defined]
    monkeypatch.setattr(keeping, "facts_of", facts.facts_of)
    recompute(runs)
    assert decisions(runs) == [("run.interrupted", 1), ("run.reopened", 1), ("run.completed", 2)]
    assert runs.emitted[-1].data.counts == {"failed": 1}  # type: ignore[attr-defined]


def test_a_farewell_is_taken_as_it_is_understood_today(runs: ConsumerHarness) -> None:
    """What an earlier version made of it is replaced."""
    runs.deliver(*FakeProducer("p1").whole(test_a="passed"))
    with runs.policy.store.begin() as connection:
        connection.execute(update(PRODUCER).values(status="crashed", detail="misread"))
    recompute(runs)
    with runs.policy.store.begin() as connection:
        row = connection.execute(select(PRODUCER)).one()
    assert (row.status, row.detail) == ("finished", None)


def test_a_run_whose_events_are_gone_stays_as_it_is(runs: ConsumerHarness) -> None:
    """It is not chosen, and a timer that comes too late changes nothing and says so."""
    runs.deliver(*FakeProducer("p1").whole(test_a="passed"))
    with runs.policy.store.begin() as connection:
        connection.execute(update(EVENT).where(EVENT.c.sequence == 3).values(body=None))
    before = tables(runs)
    recompute(runs)
    assert tables(runs) == before
    assert decisions(runs) == [("run.completed", 1)]
    with runs.policy.store.begin() as connection:
        assert [(one.events, one.whole) for one in chosen(connection)] == [(4, False)]
        assert "not kept any more" in jobs.dead(connection)[0][2]


def test_runs_are_chosen_by_any_event_of_them(runs: ConsumerHarness) -> None:
    """By run, project, type and time of reception; all of the run counts."""
    runs.deliver(*FakeProducer("p1").whole(test_a="passed"), *FakeProducer("p2", run="run-2").whole(test_a="passed"))
    moment = runs.now
    runs.run_timers(10)
    late = FakeProducer("p3", run="run-2")
    runs.deliver(late.started(), late.coverage("shop.py", "1-4", "1-2"))
    with runs.policy.store.begin() as connection:
        assert [one.key.run for one in chosen(connection)] == ["run-1", "run-2"]
        (found,) = chosen(connection, kind="coverage.recorded")
        assert (found.key.run, found.events) == ("run-2", 6)
        assert chosen(connection, since=moment, until=runs.now, run="run-1")
        assert not chosen(connection, since=runs.now, run="run-1")
        assert not chosen(connection, project="another")


def chosen(connection: Any, **wanted: Any) -> Any:
    """Return what would be recomputed."""
    every = dict.fromkeys(("since", "until", "run", "project", "kind"))
    return recomputing.kept_runs(connection, **(every | wanted))


def test_a_run_that_is_gone_is_no_fault(runs: ConsumerHarness) -> None:
    """It was pruned in between."""
    runs.deliver(*FakeProducer("p1").whole(test_a="passed"))
    with runs.policy.store.begin() as connection:
        connection.execute(RUN.delete())
    recompute(runs)
    with runs.policy.store.begin() as connection:
        assert jobs.dead(connection) == []
        assert jobs.next_due(connection) is None or jobs.next_due(connection) > time.time()
