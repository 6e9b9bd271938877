"""Runs that are counted anew: decided once, about everything, by the same number and id when nothing has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from testbus_consumers.registry import Instance
from testbus_consumers.replay.recomputing import reset
from testbus_consumers.runs import CONSUMER
from testbus_consumers.runs.tables import PRODUCER, RUN
from testbus_consumers.store.run_key import RunKey
from testbus_consumers.testing import ConsumerHarness
from tests.consumers.events import FakeProducer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Mark of the events that are sent again.
AGAIN = "recompute:1"


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Give the consumer."""
    with ConsumerHarness(CONSUMER, tmp_path, {"deadline_s": 60}) as harness:
        yield harness


def forget(runs: ConsumerHarness) -> None:
    """Reset the run."""
    instance = Instance(consumer=CONSUMER, target=None, settings=runs.policy.settings)
    reset(runs.policy.store, instance, RunKey("web", "run-1"))


def row(runs: ConsumerHarness) -> dict[str, Any]:
    """Return what is known of the run."""
    with runs.policy.store.begin() as connection:
        found = dict(connection.execute(select(RUN)).mappings().one())
        waiting = connection.execute(select(PRODUCER.c.producer).where(PRODUCER.c.recount.is_not(None))).all()
    return {name: found[name] for name in ("status", "revision", "recount")} | {"waiting": len(waiting)}


def decisions(runs: ConsumerHarness) -> list[tuple[str, int]]:
    """Return the decisions and reopenings so far, with their numbers."""
    return [(event.name, event.data.revision) for event in runs.emitted]  # type: ignore[attr-defined]


def test_a_decision_that_holds_keeps_its_number_and_its_id(runs: ConsumerHarness) -> None:
    """Whatever the order in which the events come again, and nothing is said before all of them have."""
    events = [*FakeProducer("p1").whole(test_a="passed"), *FakeProducer("p2").whole(test_b="failed")]
    runs.deliver(*events)
    ids = {event.id for event in runs.emitted}
    before = row(runs)
    said = len(runs.emitted)
    forget(runs)
    runs.deliver(*reversed(events[1:]), replay=AGAIN)
    assert len(runs.emitted) == said
    assert (row(runs)["status"], row(runs)["revision"]) == (before["status"], before["revision"])
    runs.deliver(events[0], replay=AGAIN)
    assert {event.id for event in runs.emitted} == ids
    assert row(runs) == before


def test_a_run_that_was_corrected_comes_out_as_it_was_in_the_end(runs: ConsumerHarness) -> None:
    """Revision 2 stays revision 2, although nothing reopens it this time: a lower one would be believed by nobody."""
    first, late = FakeProducer("p1").whole(test_a="passed"), FakeProducer("p2").whole(test_b="passed")
    runs.deliver(*first)
    runs.deliver(*late)
    assert decisions(runs)[-1] == ("run.completed", 2)
    before = row(runs)
    forget(runs)
    runs.deliver(*late, *first, replay=AGAIN)
    assert decisions(runs)[-1] == ("run.completed", 2)
    assert runs.emitted[-1].id == runs.emitted[-2].id
    assert row(runs) == before


def test_what_comes_live_meanwhile_is_counted_and_decided_with_the_rest(runs: ConsumerHarness) -> None:
    """A new producer alone is not the run: nothing is decided until the others are there again."""
    old, new = FakeProducer("p1").whole(test_a="passed"), FakeProducer("p2").whole(test_b="passed")
    runs.deliver(*old)
    forget(runs)
    runs.deliver(*new)
    assert decisions(runs) == [("run.completed", 1)]
    runs.deliver(*old, replay=AGAIN)
    assert decisions(runs) == [("run.completed", 1), ("run.reopened", 1), ("run.completed", 2)]
    assert set(runs.emitted[-1].data.expected) == {"p1", "p2"}  # type: ignore[attr-defined]


def test_a_second_reset_before_the_end_changes_nothing(runs: ConsumerHarness) -> None:
    """What a run had before the first reset is what it has to have again."""
    events = FakeProducer("p1").whole(test_a="passed")
    runs.deliver(*events)
    before = row(runs)
    forget(runs)
    runs.deliver(*events[:2], replay=AGAIN)
    forget(runs)
    assert row(runs)["waiting"] == 1
    runs.deliver(*events[2:], replay=AGAIN)
    assert row(runs)["waiting"] == 1
    runs.deliver(*events, replay=AGAIN)
    assert row(runs) == before


def test_a_run_that_was_given_up_is_given_up_for_the_same_reasons(runs: ConsumerHarness) -> None:
    """With the same number and id, at once: that it was spoken of again is no sign of life."""
    events = FakeProducer("p1").whole(test_a="passed")[:3]
    runs.deliver(*events)
    runs.run_timers(61)
    assert decisions(runs) == [("run.interrupted", 1)]
    before = row(runs)
    forget(runs)
    runs.deliver(*events, replay=AGAIN)
    assert decisions(runs)[-1] == ("run.interrupted", 1)
    assert runs.emitted[-1].id == runs.emitted[0].id
    assert row(runs) == before


def test_an_open_run_that_is_not_counted_to_the_end_says_what_to_do(runs: ConsumerHarness) -> None:
    """A recompute that was killed does not keep a run open for ever; and the second one corrects it."""
    events = FakeProducer("p1").whole(test_a="passed")
    runs.deliver(*events[:3])
    forget(runs)
    runs.deliver(events[3])
    runs.run_timers(61)
    assert decisions(runs) == [("run.interrupted", 1)]
    assert "--recompute" in str(runs.emitted[0].data.reasons)  # type: ignore[attr-defined]
    forget(runs)
    runs.deliver(*events, replay=AGAIN)
    assert decisions(runs)[-1] == ("run.completed", 2)
