"""When `runs` takes a producer for lost: one that gave signs of life and fell silent, whatever others of its run do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from testbus_consumers.runs import CONSUMER
from testbus_consumers.runtime.delivery import Delay
from testbus_consumers.testing import ConsumerHarness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Seconds between heartbeats, after which a silent producer is lost, and after which a silent run is.
BEAT, LOST, DEADLINE = 10, 40, 600


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Return `runs` with deadlines of its own."""
    with ConsumerHarness(CONSUMER, tmp_path, {"deadline_s": DEADLINE, "producer_deadline_s": LOST}) as harness:
        yield harness


def names(harness: ConsumerHarness) -> list[str]:
    """Return what has been decided so far."""
    return [event.name for event in harness.emitted]


def reasons(harness: ConsumerHarness) -> tuple[str, ...]:
    """Return what the latest decision misses."""
    return tuple(harness.emitted[-1].data.reasons)  # type: ignore[attr-defined]


def shard(index: int, total: int = 2) -> FakeProducer:
    """Return the producer of a shard."""
    return FakeProducer(f"p{index}", shard={"index": index, "total": total})


def test_a_producer_that_fell_silent_is_lost_after_its_own_deadline(runs: ConsumerHarness) -> None:
    """Long before the run as a whole has been silent for its deadline; the reason names it."""
    runs.deliver(FakeProducer().started(heartbeat_s=BEAT))
    runs.run_timers(LOST - 1)
    assert names(runs) == []
    runs.run_timers(1)
    assert names(runs) == ["run.interrupted"]
    assert reasons(runs) == ("producer p1 (attempt 1) fell silent before it had finished",)


def test_every_sign_of_life_keeps_a_producer(runs: ConsumerHarness) -> None:
    """Heartbeats and results alike, for as long as they come."""
    producer = FakeProducer()
    runs.deliver(producer.started(heartbeat_s=BEAT))
    for _ in range(50):
        runs.run_timers(LOST - 1)
        runs.deliver(producer.heartbeat())
    runs.run_timers(LOST - 1)
    runs.deliver(producer.results(test_a="passed"))
    runs.run_timers(LOST - 1)
    runs.deliver(producer.finished())
    assert names(runs) == ["run.completed"]


def test_others_that_go_on_do_not_keep_a_lost_one(runs: ConsumerHarness) -> None:
    """The run is decided as soon as the last one that still speaks has finished."""
    lost, other = shard(1), shard(2)
    runs.deliver(lost.started(heartbeat_s=BEAT), other.started(heartbeat_s=BEAT))
    for _ in range(10):
        runs.run_timers(BEAT)
        runs.deliver(other.heartbeat())
    assert names(runs) == []
    runs.deliver(other.results(test_b="passed"), other.finished())
    assert names(runs) == ["run.interrupted"]
    assert reasons(runs) == ("producer p1 (shard 1 of 2, attempt 1) fell silent before it had finished",)


def test_a_lost_one_is_noticed_within_a_heartbeat_of_its_deadline_while_others_are_done(runs: ConsumerHarness) -> None:
    """The others finished first: nothing more comes, and nothing has to."""
    lost, other = shard(1), shard(2)
    runs.deliver(lost.started(heartbeat_s=BEAT), *other.whole(test_b="passed"))
    runs.run_timers(BEAT)
    runs.deliver(lost.heartbeat())
    runs.run_timers(LOST - 1)
    assert names(runs) == []
    runs.run_timers(BEAT)
    assert names(runs) == ["run.interrupted"]


def test_heartbeats_alone_show_that_a_producer_sends_them(runs: ConsumerHarness) -> None:
    """Its first event may be late, or of a version that did not say how often."""
    producer = FakeProducer()
    first = producer.started()
    runs.deliver(producer.heartbeat())
    runs.run_timers(60)
    assert names(runs) == ["run.interrupted"]
    runs.deliver(first, producer.results(test_a="passed"), producer.finished())
    assert names(runs) == ["run.interrupted", "run.reopened", "run.completed"]


def test_a_deadline_below_two_heartbeats_is_two_heartbeats(runs: ConsumerHarness) -> None:
    """Whoever sends one a minute is not lost between two of them."""
    producer = FakeProducer()
    runs.deliver(producer.started(heartbeat_s=60))
    runs.run_timers(119)
    assert names(runs) == []
    runs.run_timers(2)
    assert names(runs) == ["run.interrupted"]


def test_a_producer_without_heartbeats_has_the_runs_whole_deadline(runs: ConsumerHarness) -> None:
    """Reports that are published as files, and foreign runners: only silence of the whole run counts."""
    lost, other = shard(1), shard(2)
    runs.deliver(lost.started(), *other.whole(test_b="passed"))
    runs.run_timers(DEADLINE - 1)
    assert names(runs) == []
    runs.run_timers(2)
    assert reasons(runs) == ("producer p1 (shard 1 of 2, attempt 1) has not finished",)


def test_a_lost_one_does_not_end_the_wait_for_a_shard_that_has_not_begun(runs: ConsumerHarness) -> None:
    """It may wait for a machine: that is what the deadline of the whole run is for."""
    lost = shard(1)
    runs.deliver(lost.started(heartbeat_s=BEAT))
    runs.run_timers(DEADLINE - 1)
    assert names(runs) == []
    runs.run_timers(2)
    assert len(reasons(runs)) == 2


def test_events_that_got_lost_on_the_way_are_missed_after_the_producers_deadline(runs: ConsumerHarness) -> None:
    """It said goodbye, and not all that it numbered is here."""
    producer = FakeProducer()
    started, lost, end = producer.started(heartbeat_s=BEAT), producer.results(test_a="failed"), producer.finished()
    runs.deliver(started, end)
    runs.run_timers(LOST)
    (reason,) = reasons(runs)
    assert reason.startswith("1 of 3 events of producer p1 (attempt 1); if the runner is newer than the consumers")
    runs.deliver(lost)
    assert names(runs) == ["run.interrupted", "run.reopened", "run.completed"]


def test_a_sign_of_life_alone_does_not_reopen_a_decided_run(runs: ConsumerHarness) -> None:
    """What follows it does."""
    producer = FakeProducer()
    runs.deliver(producer.started(heartbeat_s=BEAT))
    runs.run_timers(LOST)
    runs.deliver(producer.heartbeat())
    assert names(runs) == ["run.interrupted"]
    runs.deliver(producer.finished())
    assert names(runs) == ["run.interrupted", "run.reopened", "run.completed"]


def test_a_backlog_is_no_silence(runs: ConsumerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """However old the last event is: while events wait, nobody is lost; afterwards the newest receipt counts."""
    producer = FakeProducer()
    runs.deliver(producer.started(heartbeat_s=BEAT))
    monkeypatch.setattr(runs, "drained", lambda: False)
    runs.run_timers(10 * DEADLINE)
    assert names(runs) == []
    runs.deliver(producer.heartbeat())
    monkeypatch.undo()
    runs.run_timers(LOST - 1)
    assert names(runs) == []
    runs.run_timers(1)
    assert names(runs) == ["run.interrupted"]


def test_events_that_are_retried_are_no_silence(runs: ConsumerHarness) -> None:
    """An event that could not be counted yet waits for its next attempt, and the deadline for it."""
    producer = FakeProducer()
    started, end = producer.started(heartbeat_s=BEAT), producer.finished()
    runs.deliver(started)
    runs.run_timers(LOST - 1)
    with runs.policy.store.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE producer RENAME TO away")
    assert isinstance(runs.deliver(end, delays=2), Delay)
    with runs.policy.store.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO producer")
    runs.run_timers(100)
    assert names(runs) == []
    runs.deliver(end, attempt=1)
    assert names(runs) == ["run.completed"]


def test_another_project_cannot_keep_a_run_waiting(runs: ConsumerHarness) -> None:
    """Its words under a guessed id count for nothing, also not as signs of life."""
    runs.deliver(FakeProducer("p1").started())
    for _ in range(4):
        runs.run_timers(DEADLINE / 4)
        runs.deliver(FakeProducer("p2", project="other").started())
    assert [event.data.context.project for event in runs.emitted] == ["web"]


def test_only_counted_events_are_expected(runs: ConsumerHarness) -> None:
    """Consumers do not wait for signs of life."""
    producer = FakeProducer()
    runs.deliver(producer.started(heartbeat_s=BEAT), producer.heartbeat(), producer.finished())
    (decision,) = runs.emitted
    assert decision.data.expected == {"p1": {"producer.started": 1, "producer.finished": 1}}  # type: ignore[attr-defined]


def test_the_cost_of_an_event_does_not_grow_with_the_number_of_producers(runs: ConsumerHarness) -> None:
    """Hundreds of report files are a run like any other: counted in instructions of SQLite, which no load changes."""
    ticks: list[None] = []
    with runs.policy.store.begin() as connection:
        database: Any = connection.connection.dbapi_connection
    database.set_progress_handler(lambda: ticks.append(None), 10)

    def cost(producers: int) -> float:
        events = [
            FakeProducer(f"p{index} of {producers}", run=f"run-{producers}").started() for index in range(producers)
        ]
        runs.deliver(*events[:-20])
        ticks.clear()
        runs.deliver(*events[-20:])
        return len(ticks)

    assert cost(400) < 1.5 * cost(50)
    assert ticks
