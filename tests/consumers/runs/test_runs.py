"""What `runs` decides, whatever the order, and however often events come."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from harness.events import FakeProducer
from testbus_consumers.runs import CONSUMER
from testbus_consumers.testing import ConsumerHarness, run_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Return `runs` with a deadline of a minute."""
    with ConsumerHarness(CONSUMER, tmp_path, {"deadline_s": 60}) as harness:
        yield harness


def names(harness: ConsumerHarness) -> list[str]:
    """Return what has been decided so far."""
    return [event.name for event in harness.emitted]


def test_a_run_is_complete_once_every_event_of_its_producer_has_come(runs: ConsumerHarness) -> None:
    """One producer: the last missing event decides, whichever it is."""
    for order in itertools.permutations(range(4)):
        producer = FakeProducer(f"p{order}", run=f"run-{order}")
        events = producer.whole(test_a="passed")
        already = len(runs.emitted)
        runs.deliver(*(events[i] for i in order[:3]))
        assert len(runs.emitted) == already
        runs.deliver(events[order[3]])
        (decision,) = runs.emitted[already:]
        assert decision.name == "run.completed"
        assert decision.data.expected == {  # type: ignore[attr-defined]
            producer.name: {
                "producer.started": 1,
                "tests.collected": 1,
                "results.recorded": 1,
                "producer.finished": 1,
            }
        }


def test_a_number_that_was_left_out_is_missed(runs: ConsumerHarness) -> None:
    """However many others came: what counts is which numbers, not how many."""
    producer = FakeProducer()
    started, lost, late = producer.started(), producer.results(test_a="failed"), producer.results(test_b="passed")
    finished = producer.finished()
    beyond = producer.results(test_c="passed")
    runs.deliver(started, late, beyond, finished)
    assert names(runs) == []
    runs.deliver(lost)
    assert names(runs) == ["run.completed"]


def test_duplicates_change_nothing(runs: ConsumerHarness) -> None:
    """Each event three times, shuffled: one decision."""
    events = FakeProducer().whole(test_a="passed") * 3
    random.Random(7).shuffle(events)
    runs.deliver(*events)
    assert names(runs) == ["run.completed"]


def test_two_shards_in_any_order_make_one_run(runs: ConsumerHarness) -> None:
    """The run waits for the shard that it knows of."""
    second = FakeProducer("p2", shard={"index": 2, "total": 2})
    first = FakeProducer("p1", shard={"index": 1, "total": 2})
    runs.deliver(*second.whole(test_b="passed"))
    assert names(runs) == []
    runs.deliver(*first.whole(test_a="passed"))
    assert names(runs) == ["run.completed"]


def test_a_shard_that_never_comes_makes_the_run_incomplete(runs: ConsumerHarness) -> None:
    """After the deadline the missing shard is named; when it comes after all, the decision is corrected."""
    runs.deliver(*FakeProducer("p1", shard={"index": 1, "total": 2}).whole(test_a="passed"))
    runs.run_timers(59)
    assert names(runs) == []
    runs.run_timers(2)
    (decision,) = runs.emitted
    assert decision.name == "run.interrupted"
    assert decision.data.reasons == ("shard 2 of 2 never reported",)  # type: ignore[attr-defined]
    runs.deliver(*FakeProducer("p2", shard={"index": 2, "total": 2}).whole(test_b="passed"))
    assert names(runs) == ["run.interrupted", "run.reopened", "run.completed"]
    assert runs.emitted[-1].data.revision == 2  # type: ignore[attr-defined]


def test_an_index_without_a_total_is_never_complete(runs: ConsumerHarness) -> None:
    """Nobody knows how many shards there are: the run stays open, and ends incomplete."""
    runs.deliver(*FakeProducer("p1", shard={"index": 1}).whole(test_a="passed"))
    assert names(runs) == []
    runs.run_timers(61)
    assert names(runs) == ["run.interrupted"]
    assert "the number of shards" in runs.emitted[0].data.reasons[0]  # type: ignore[attr-defined]


def test_a_higher_attempt_of_a_shard_supersedes_the_lower(runs: ConsumerHarness) -> None:
    """A CI job that died is run again: what the first attempt lacks is not waited for."""
    first = FakeProducer("p1", attempt=1)
    runs.deliver(first.started(), first.results(test_a="failed"))
    runs.deliver(*FakeProducer("p2", attempt=2).whole(test_a="passed"))
    (decision,) = runs.emitted
    assert decision.name == "run.completed"
    assert decision.data.superseded == ("p1",)  # type: ignore[attr-defined]
    runs.deliver(first.finished())
    assert names(runs) == ["run.completed"]


def test_a_crashed_producer_makes_the_run_incomplete_at_once(runs: ConsumerHarness) -> None:
    """Whoever flushed the dead producer's spool knows that no more will come."""
    producer = FakeProducer()
    runs.deliver(producer.started(), producer.results(test_a="passed"), producer.finished("crashed"))
    (decision,) = runs.emitted
    assert decision.name == "run.interrupted"
    assert "its process died" in decision.data.reasons[0]  # type: ignore[attr-defined]


def test_two_variants_are_both_waited_for_once_known(runs: ConsumerHarness) -> None:
    """Variants of one run are separate producers of it."""
    old, new = FakeProducer("p1", variant="3.11"), FakeProducer("p2", variant="3.12")
    runs.deliver(new.started())
    runs.deliver(*old.whole(test_a="passed"))
    assert names(runs) == []
    runs.deliver(new.results(test_a="failed"), new.finished())
    assert names(runs) == ["run.completed"]


def test_silence_is_counted_from_the_last_receipt(runs: ConsumerHarness) -> None:
    """Every event of the run sets the deadline anew."""
    producer = FakeProducer(context=run_context())
    runs.deliver(producer.started())
    runs.run_timers(50)
    runs.deliver(producer.results(test_a="passed"))
    runs.run_timers(50)
    assert names(runs) == []
    runs.run_timers(11)
    assert names(runs) == ["run.interrupted"]


def test_another_project_cannot_take_part_under_a_guessed_id(runs: ConsumerHarness) -> None:
    """Each project's run of that id is a run of its own, whoever spoke first."""
    own, other = FakeProducer("p1"), FakeProducer("p2", project="other")
    runs.deliver(other.started(), own.started(), other.results(test_a="passed", test_b="passed"))
    runs.deliver(own.results(test_a="failed"), own.finished())
    found = [(event.name, event.data.context.project, event.data.counts) for event in runs.emitted]  # type: ignore[attr-defined]
    assert found == [("run.completed", "web", {"failed": 1})]
    runs.deliver(other.finished())
    assert [event.data.context.project for event in runs.emitted] == ["web", "other"]
    assert runs.emitted[-1].data.counts == {"passed": 2}  # type: ignore[attr-defined]
