"""What `runs` makes of an announced number of shards, and of a report that could not be read, in any order."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from harness.events import FakeProducer
from testbus_consumers.runs import CONSUMER
from testbus_consumers.testing import ConsumerHarness, run_context
from testbus_schemas import ShardsAnnounced, derived, produced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_schemas import Event, EventData


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Return `runs` with a deadline of a minute."""
    with ConsumerHarness(CONSUMER, tmp_path, {"deadline_s": 60}) as harness:
        yield harness


def announced(total: int, *, run: str = "run-1", variant: str | None = None) -> Event[EventData]:
    """Return what `testbus finish --shards TOTAL` publishes."""
    return produced(ShardsAnnounced(context=run_context(run=run), variant=variant, total=total))


def names(harness: ConsumerHarness) -> list[str]:
    """Return what has been decided so far."""
    return [event.name for event in harness.emitted]


def test_a_run_whose_total_nobody_knew_ends_with_its_last_part_in_any_order(runs: ConsumerHarness) -> None:
    """Two shards without a total and the announcement: whichever comes last decides."""
    for order in itertools.permutations(range(3)):
        run = f"run-{order}"
        first = FakeProducer(f"p1 {run}", run=run, shard={"index": 1}).whole(test_a="passed")
        second = FakeProducer(f"p2 {run}", run=run, shard={"index": 2}).whole(test_b="passed")
        parts = [first, second, [announced(2, run=run)]]
        already = len(runs.emitted)
        for at in order[:2]:
            runs.deliver(*parts[at])
        assert names(runs)[already:] == []
        runs.deliver(*parts[order[2]])
        assert names(runs)[already:] == ["run.completed"]


def test_an_announced_shard_that_never_comes_is_named(runs: ConsumerHarness) -> None:
    """Announcing more than came makes the run incomplete at its deadline."""
    runs.deliver(*FakeProducer("p1", shard={"index": 1}).whole(test_a="passed"), announced(3))
    assert names(runs) == []
    runs.run_timers(61)
    assert runs.emitted[-1].data.reasons == (  # type: ignore[attr-defined]
        "shard 2 of 3 never reported",
        "shard 3 of 3 never reported",
    )


def test_announcing_after_the_deadline_corrects_the_decision(runs: ConsumerHarness) -> None:
    """The run was incomplete only because nobody knew the total."""
    runs.deliver(*FakeProducer("p1", shard={"index": 1}).whole(test_a="passed"))
    runs.run_timers(61)
    runs.deliver(announced(1))
    assert names(runs) == ["run.interrupted", "run.reopened", "run.completed"]


def test_announcing_what_is_known_changes_nothing(runs: ConsumerHarness) -> None:
    """Twice, or of a run that knew its total."""
    runs.deliver(*FakeProducer("p1", shard={"index": 1, "total": 1}).whole(test_a="passed"))
    runs.deliver(announced(1), announced(1))
    assert names(runs) == ["run.completed"]


def test_of_several_announcements_the_highest_holds_in_any_order(runs: ConsumerHarness) -> None:
    """Two people who disagree make nobody's results vanish."""
    for run, totals in (("up", (1, 2)), ("down", (2, 1))):
        runs.deliver(*(announced(total, run=run) for total in totals))
        runs.deliver(*FakeProducer(f"p1 {run}", run=run, shard={"index": 1}).whole(test_a="passed"))
        assert names(runs) == []


def test_variants_may_have_totals_of_their_own(runs: ConsumerHarness) -> None:
    """An announcement for one variant says nothing of the other."""
    old = FakeProducer("p1", variant="3.11", shard={"index": 1})
    new = FakeProducer("p2", variant="3.12", shard={"index": 1})
    runs.deliver(*old.whole(test_a="passed"), *new.whole(test_a="passed"), announced(1, variant="3.11"))
    assert names(runs) == []
    runs.deliver(announced(1, variant="3.12"))
    assert names(runs) == ["run.completed"]


def test_a_run_that_is_not_split_does_not_wait_for_shards(runs: ConsumerHarness) -> None:
    """`testbus finish` in a pipeline that does not split its tests does no harm."""
    runs.deliver(announced(1), *FakeProducer("p1").whole(test_a="passed"))
    assert names(runs) == ["run.completed"]


def test_nothing_but_an_announcement_ends_incomplete(runs: ConsumerHarness) -> None:
    """Shards that were announced and never came are missed."""
    runs.deliver(announced(1))
    runs.run_timers(61)
    assert runs.emitted[-1].data.reasons == ("shard 1 of 1 never reported",)  # type: ignore[attr-defined]


def test_a_report_that_could_not_be_read_makes_its_run_incomplete(runs: ConsumerHarness) -> None:
    """The reason is the reader's own."""
    broken = FakeProducer()
    runs.deliver(broken.started(), broken.finished("failed_to_start", detail="junit.xml, line 3: it ends too early"))
    (decision,) = runs.emitted
    assert decision.name == "run.interrupted"
    assert decision.data.reasons == (  # type: ignore[attr-defined]
        "producer p1 (attempt 1): junit.xml, line 3: it ends too early",
    )


def test_an_announcement_without_a_producer_is_taken(runs: ConsumerHarness) -> None:
    """Whoever announces is no producer of the run."""
    event = derived(ShardsAnnounced(context=run_context(), total=1), consumer="somebody", event_id="e1")
    runs.deliver(event, *FakeProducer("p1", shard={"index": 1}).whole(test_a="passed"))
    assert names(runs) == ["run.completed"]
