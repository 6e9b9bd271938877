"""`on_complete`: once per decision about a run, after all that it counts has passed through this consumer."""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from testbus_consumers.overview import with_timers
from testbus_consumers.records.tables import EVENT
from testbus_consumers.registry import load_consumer
from testbus_consumers.runtime import Done, Effects, Outcome, Reject, Retry, RunCompletion, State, effect, state
from testbus_consumers.runtime.completion import LOOK_S, OUTDATED, OVERDUE_S
from testbus_consumers.runtime.delivery import Delay
from testbus_consumers.runtime.leases import LEASE_S
from testbus_consumers.runtime.timers import run_due
from testbus_consumers.store import deliveries, jobs, open_store
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import (
    CoverageRecorded,
    Event,
    EventData,
    Origin,
    ProducerFinished,
    ProducerHeartbeat,
    ResultsRecorded,
    RunCompleted,
    RunInterrupted,
    derived,
    produced,
)
from tests.consumers.runtime.samples import delivery, note, notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Make = Callable[..., ConsumerHarness]


def done(_event: Event[Any], _state: State[Any]) -> Outcome:
    """Handle an event."""
    return Done()


def say(run_completion: RunCompletion, state: State[Any]) -> Outcome:
    """Keep what a closing says."""
    found = "complete" if run_completion.complete else f"incomplete: {'; '.join(run_completion.reasons)}"
    note(state, f"{run_completion.run} #{run_completion.revision} {found}")
    return Done()


#: What most tests here react to.
HANDLERS = {ResultsRecorded: state(done), ProducerFinished: state(done)}


def decision(
    *events: Event[EventData], revision: int = 1, reasons: tuple[str, ...] | None = None, run: str = "run-1"
) -> Event[EventData]:
    """Return the decision of `runs` that counts these events."""
    expected: dict[str, dict[str, int]] = {}
    for event in events:
        assert event.data.producer
        types = expected.setdefault(event.data.producer.id, {})
        types[event.name] = types.get(event.name, 0) + 1
    context = FakeProducer(run=run).context
    fields: dict[str, Any] = {
        "context": context,
        "revision": revision,
        "expected": expected,
        "finished_at": context.started_at,
    }
    data = RunCompleted(**fields) if reasons is None else RunInterrupted(**fields, reasons=reasons)
    return derived(data, consumer="runs", event_id=f"{run}-{revision}")


def a_run(run: str = "run-1", shards: int = 2) -> list[Event[EventData]]:
    """Return the events of a run that this consumer handles."""
    producers = [FakeProducer(f"{run}-p{number}", run=run) for number in range(shards)]
    return [event for one in producers for event in (one.results(test_a="passed"), one.finished())]


def test_a_run_is_complete_here_in_any_order(make: Make) -> None:
    """Whichever of the events and the decision comes last, `on_complete` is called then, and once."""
    harness = make(HANDLERS, on_complete=state(say))
    for number, order in enumerate(itertools.permutations(range(3))):
        events = a_run(f"run-{number}", shards=1)
        events.append(decision(*events, run=f"run-{number}"))
        harness.deliver(*(events[index] for index in order[:2]))
        assert len(notes(harness)) == number
        harness.deliver(events[order[2]])
        harness.run_timers(LOOK_S)
        assert f"run-{number} #1 complete" in notes(harness)


def test_once_per_decision_whatever_the_interleaving(make: Make) -> None:
    """Ten runs, every event three times, shuffled, by eight workers at once: ten completions."""
    harness = make(HANDLERS, on_complete=state(say))
    runs = {f"run-{number}": a_run(f"run-{number}") for number in range(10)}
    events = [event for name, of_run in runs.items() for event in (*of_run, decision(*of_run, run=name))] * 3
    random.Random(11).shuffle(events)

    def work(event: Event[EventData]) -> None:
        harness.policy.deliver(delivery(event))
        while run_due(harness.policy, harness):
            pass

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(work, events))
    harness.run_timers(LOOK_S)
    assert notes(harness) == sorted(f"{run} #1 complete" for run in runs)


@pytest.mark.parametrize("dead", [False, True])
def test_whoever_is_woken_finds_what_is_due(make: Make, *, dead: bool) -> None:
    """Before the commit there would be nothing to find, and the next look is a second later."""
    harness = make(rejecting([Reject("no") if dead else Done()]), on_complete=state(say))
    events = a_run(shards=1)
    found: list[float | None] = []

    class Woken(threading.Event):
        def set(self) -> None:
            with harness.policy.store.engine.connect() as connection:
                found.append(jobs.next_due(connection))

    policy = replace(harness.policy, woken=Woken())
    for event in (events[1], decision(*events), events[0]):
        policy.deliver(delivery(event))
    assert found == [policy.clock()]


def test_only_what_this_consumer_reacts_to_is_waited_for(make: Make) -> None:
    """Coverage that it never receives does not keep it from seeing the run as complete."""
    harness = make(HANDLERS, on_complete=state(say))
    producer = FakeProducer()
    covered = producer.coverage("a.py", "1-5", "1-3")
    assert isinstance(covered.data, CoverageRecorded)
    events = [producer.results(test_a="passed"), producer.finished()]
    harness.deliver(*events, decision(*events, covered))
    assert notes(harness) == ["run-1 #1 complete"]


def test_a_run_without_events_for_this_consumer_is_complete_at_once(make: Make) -> None:
    """A decision that counts nothing of interest completes the run."""
    harness = make({CoverageRecorded: state(done)}, on_complete=state(say))
    harness.deliver(decision(*a_run()))
    assert notes(harness) == ["run-1 #1 complete"]


def test_an_interrupted_run_is_incomplete_with_its_reasons(make: Make) -> None:
    """What `runs` found missing is handed on."""
    harness = make(HANDLERS, on_complete=state(say))
    events = a_run()
    harness.deliver(*events, decision(*events, reasons=("shard 2 of 2 never reported",)))
    assert notes(harness) == ["run-1 #1 incomplete: shard 2 of 2 never reported"]


def test_a_higher_revision_closes_the_run_again(make: Make) -> None:
    """A late producer reopened the run: its next decision is acted upon, an outdated one is not any more."""
    harness = make(HANDLERS, on_complete=state(say))
    first, second = a_run("run-1", 1), [event for event in a_run("run-1", 2) if event.data.producer.id == "run-1-p1"]  # type: ignore[union-attr]
    harness.deliver(*first, decision(*first))
    harness.deliver(*second, decision(*first, *second, revision=2))
    assert notes(harness) == ["run-1 #1 complete", "run-1 #2 complete"]


def test_an_outdated_decision_that_comes_late_changes_nothing(make: Make) -> None:
    """The highest decision holds."""
    harness = make(HANDLERS, on_complete=state(say))
    events = a_run()
    harness.deliver(*events, decision(*events, revision=2), decision(*events[:2]))
    assert notes(harness) == ["run-1 #2 complete"]
    with harness.policy.store.begin() as connection:
        (older,) = (row for row in deliveries.of_run(connection, "run-1") if row.event_id == "run-1-1")
    assert older.reason == OUTDATED == "a later decision holds"


def rejecting(outcomes: Iterable[Outcome]) -> Any:
    """Return handlers that answer for results with each outcome in turn."""
    left = iter(outcomes)
    return {ResultsRecorded: state(lambda *_: next(left)), ProducerFinished: state(done)}


def test_dead_letters_make_the_run_incomplete_here(make: Make) -> None:
    """What this consumer gave up is missing in what it knows, and it says so."""
    harness = make(rejecting([Reject("no")]), on_complete=state(say))
    events = a_run(shards=1)
    harness.deliver(*events, decision(*events))
    assert notes(harness) == [
        "run-1 #1 incomplete: 1 results.recorded could not be handled: testbus dlq show sample",
    ]


def test_a_redriven_dead_letter_completes_the_run_after_all(make: Make) -> None:
    """Once its cause is gone and it has been redriven, the same decision is acted upon again, now complete."""
    harness = make(rejecting([Reject("no"), Done()]), on_complete=state(say))
    events = a_run(shards=1)
    harness.deliver(*events, decision(*events))
    harness.deliver(events[0])
    harness.run_timers(LOOK_S)
    assert notes(harness)[0] == "run-1 #1 complete"
    harness.deliver(events[0])
    harness.run_timers(LOOK_S)
    assert len(notes(harness)) == 2


@pytest.mark.parametrize("again", [Retry("wait"), Reject("no")])
def test_a_redriven_dead_letter_is_counted_once_however_often_it_fails(make: Make, again: Outcome) -> None:
    """Retries and further rejections on its way do not make it two."""
    harness = make(rejecting([Reject("no"), again, Done()]), on_complete=state(say))
    events = a_run(shards=1)
    harness.deliver(*events, decision(*events), events[0], events[0])
    harness.run_timers(LOOK_S)
    assert notes(harness) == [
        "run-1 #1 complete",
        "run-1 #1 incomplete: 1 results.recorded could not be handled: testbus dlq show sample",
    ]


def test_what_never_comes_is_not_waited_for_for_ever(make: Make) -> None:
    """Some time after the decision, with an empty queue, the run is closed with what is here."""
    harness = make(HANDLERS, on_complete=state(say))
    events = a_run(shards=1)
    harness.deliver(events[1], decision(*events))
    harness.run_timers(OVERDUE_S - 1)
    assert notes(harness) == []
    harness.run_timers(OVERDUE_S / 10)
    assert notes(harness) == ["run-1 #1 incomplete: 1 results.recorded never reached sample"]


def test_what_came_too_late_corrects_the_decision(make: Make) -> None:
    """The same decision is acted upon again once nothing is missing any more, and no more often."""
    harness = make(HANDLERS, on_complete=state(say))
    events = a_run(shards=2)
    harness.deliver(events[1], decision(*events))
    harness.run_timers(OVERDUE_S + 1)
    harness.deliver(events[0], events[2])
    harness.run_timers(LOOK_S)
    assert len(notes(harness)) == 1
    harness.deliver(events[3], *events)
    harness.run_timers(LOOK_S)
    harness.run_timers(2 * OVERDUE_S)
    assert notes(harness) == [
        "run-1 #1 complete",
        "run-1 #1 incomplete: 1 producer.finished never reached sample; 2 results.recorded never reached sample",
    ]


def test_an_event_that_is_being_retried_is_waited_for(make: Make) -> None:
    """What goes through the retry delays has not been lost: the run is closed once it is through."""
    harness = make(rejecting([Retry("later"), Done()]), on_complete=state(say))
    events = a_run(shards=1)
    harness.deliver(events[1], decision(*events))
    assert isinstance(harness.deliver(events[0], delays=3), Delay)
    harness.run_timers(599)
    assert notes(harness) == []
    harness.deliver(events[0], attempt=1, delays=4)
    harness.run_timers(30)
    assert notes(harness) == ["run-1 #1 complete"]


def test_what_a_worker_has_in_its_hands_is_not_missing(make: Make) -> None:
    """However long that takes, as with a target that takes few requests; a worker that died holds nothing for ever."""
    harness = make(HANDLERS, on_complete=state(say))
    events = a_run(shards=1)
    harness.deliver(events[1], decision(*events))
    with harness.policy.held.lease(harness.policy.store, "another event", harness.policy.clock):
        for _ in range(20):
            harness.run_timers(LEASE_S / 2)
            harness.policy.held.renew(harness.policy.store, harness.policy.clock())
        assert notes(harness) == []
        harness.deliver(events[0])
        harness.run_timers(LEASE_S / 2)
        assert notes(harness) == ["run-1 #1 complete"]


def test_a_run_does_not_wait_for_a_retry_that_somebody_purged(make: Make) -> None:
    """When a retry's time is long over and the queue is empty, it will not come any more."""
    harness = make(rejecting([Retry("later")]), on_complete=state(say))
    events = a_run(shards=1)
    harness.deliver(events[1], decision(*events))
    harness.deliver(events[0], delays=3)
    harness.run_timers(599)
    assert notes(harness) == []
    harness.run_timers(2 * OVERDUE_S)
    harness.run_timers(2 * OVERDUE_S)
    assert notes(harness) == ["run-1 #1 incomplete: 1 results.recorded never reached sample"]


def test_on_complete_may_act_on_a_target(make: Make) -> None:
    """As an effect it is called outside any transaction, and again if it was not done."""
    called: list[bool] = []
    outcomes = iter([Retry("target down", counted=False), Done()])

    def close(run_completion: RunCompletion, effects: Effects[Any, Any]) -> Outcome:
        called.append(run_completion.complete)
        effects.once("close", lambda: None, lambda: None)
        return next(outcomes)

    harness = make(HANDLERS, on_complete=effect(close))
    events = a_run()
    harness.deliver(*events, decision(*events))
    assert called == [True]
    harness.run_timers(5)
    assert called == [True, True]
    harness.run_timers(1000)
    assert len(called) == 2


def test_an_on_complete_that_always_fails_buries_its_decision(make: Make) -> None:
    """The dead letter is the decision itself: redriving it calls `on_complete` again."""
    outcomes = iter([ValueError("broken")] * 5)

    def fail_at_first(run_completion: RunCompletion, state: State[Any]) -> Outcome:
        for error in outcomes:
            raise error
        return say(run_completion, state)

    harness = make(HANDLERS, on_complete=state(fail_at_first))
    events = a_run()
    decided = decision(*events)
    harness.deliver(*events, decided)
    for seconds in (5, 30, 120, 600):
        assert harness.dead_letters == []
        harness.run_timers(seconds)
    (letter,) = harness.dead_letters
    assert (letter.error, letter.attempts) == ("ValueError: broken", 5)
    assert "raise error" in letter.traceback
    harness.deliver(decided)
    assert notes(harness) == ["run-1 #1 complete"]


def test_heartbeats_are_not_counted(make: Make) -> None:
    """Only what a producer numbered can be missing, or be there instead of what is."""
    handlers = {**HANDLERS, ProducerHeartbeat: state(done)}
    harness = make(handlers, on_complete=state(say))
    events = a_run(shards=1)
    assert events[0].data.producer
    origin = Origin(id=events[0].data.producer.id)
    beats = [produced(ProducerHeartbeat(context=events[0].data.context, producer=origin)) for _ in range(3)]
    harness.deliver(*beats, events[0], decision(*events))
    assert notes(harness) == []
    harness.deliver(events[1], *beats)
    harness.run_timers(LOOK_S)
    assert notes(harness) == ["run-1 #1 complete"]


def decided(harness: ConsumerHarness, *events: Event[EventData]) -> Event[EventData]:
    """Return what the real `runs` decides once it has these events; the consumer has none of them yet."""
    (found,) = (one for one in harness.decisions(*events) if isinstance(one.data, RunCompleted | RunInterrupted))
    return found


def test_the_record_says_what_there_is_in_any_order(make: Make) -> None:
    """Events and the decision of the real `runs`, three times each and shuffled: one completion a run."""
    harness = make(HANDLERS, on_complete=state(say))
    chance = random.Random(5)
    for number in range(6):
        events = FakeProducer(f"p{number}", run=f"run-{number}").whole(test_a="passed", test_b="failed")
        order = [*events[2:], decided(harness, *events)] * 3
        if number:
            chance.shuffle(order)
        harness.deliver(*(sorted(order, key=lambda one: one.data.producer is not None) if number == 1 else order))
        harness.run_timers(LOOK_S)
        harness.run_timers(2 * OVERDUE_S)
    assert notes(harness) == [f"run-{number} #1 complete" for number in range(6)]


def test_a_replaced_producers_events_do_not_stand_for_others(make: Make) -> None:
    """There are as many as the decision counts, and not those: the run is not complete before they have come."""
    harness = make({ResultsRecorded: state(done)}, on_complete=state(say))
    first = FakeProducer("p1", run="run-1", shard={"index": 1, "total": 1}, attempt=1)
    again = FakeProducer("p2", run="run-1", shard={"index": 1, "total": 1}, attempt=2)
    replaced = first.whole(test_a="failed")
    counting = again.whole(test_a="passed")
    harness.decisions(*replaced)
    decision = decided(harness, *counting)
    harness.deliver(replaced[2], decision)
    harness.run_timers(LOOK_S)
    assert notes(harness) == []
    harness.deliver(counting[2])
    harness.run_timers(LOOK_S)
    assert notes(harness) == ["run-1 #2 complete"]


def test_what_it_waits_for_is_in_the_trace(make: Make) -> None:
    """Whoever asks why a launch is not finished reads it there."""
    harness = make(HANDLERS, on_complete=state(say))
    events = FakeProducer(run="run-1").whole(test_a="passed")
    harness.deliver(events[3], decided(harness, *events))
    with harness.policy.store.begin() as connection:
        (waiting,) = (row for row in with_timers(connection, "run-1") if row.type == "run.completed")
    assert (waiting.status, waiting.reason) == (deliveries.Status.RETRYING, "waits for 1 results.recorded")


def test_waiting_takes_no_step_of_the_ladder(make: Make) -> None:
    """However long the last event took, a target that fails then is tried again after the first step."""
    outcomes = iter([Retry("target down", counted=False), Done()])
    harness = make(HANDLERS, on_complete=effect(lambda *_: next(outcomes)))
    events = a_run(shards=1)
    harness.deliver(events[1], decision(*events))
    for _ in range(30):
        harness.run_timers(LOOK_S)
    harness.deliver(events[0])
    harness.run_timers(2 * LOOK_S)
    harness.run_timers(5)
    assert next(outcomes, None) is None


def test_what_died_after_the_run_was_closed_is_a_reason_of_its_own(make: Make) -> None:
    """It had never come when the run was closed; now it has, and could not be handled."""
    harness = make(rejecting([Reject("no")]), on_complete=state(say))
    events = a_run(shards=1)
    harness.deliver(events[1], decision(*events))
    harness.run_timers(OVERDUE_S)
    harness.deliver(events[0])
    harness.run_timers(LOOK_S)
    assert notes(harness) == [
        "run-1 #1 incomplete: 1 results.recorded could not be handled: testbus dlq show sample",
        "run-1 #1 incomplete: 1 results.recorded never reached sample",
    ]


def test_a_record_that_is_gone_is_no_empty_one(make: Make, tmp_path: Path) -> None:
    """The decision is tried again, and given up with what to do; once there is a record again it is acted upon."""
    harness = make(HANDLERS, on_complete=state(say))
    events = FakeProducer(run="run-1").whole(test_a="passed")
    decision = decided(harness, *events)
    with open_store(f"sqlite:///{tmp_path}", "runs").begin() as connection:
        kept = connection.execute(EVENT.select()).all()
        connection.execute(EVENT.delete().where(EVENT.c.type == "results.recorded"))
    harness.deliver(*events[2:], decision)
    for seconds in (5, 30, 120, 600):
        harness.run_timers(seconds)
    (letter,) = harness.dead_letters
    assert "1 events are not kept any more that decision 1 about run run-1" in letter.error
    assert "testbus replay runs --run run-1" in letter.error
    with open_store(f"sqlite:///{tmp_path}", "runs").begin() as connection:
        connection.execute(EVENT.delete())
        connection.execute(EVENT.insert(), [row._asdict() for row in kept])
    assert notes(harness) == []
    harness.deliver(decision)
    assert notes(harness) == ["run-1 #1 complete"]


def test_a_database_that_cannot_be_read_is_waited_for(make: Make, tmp_path: Path) -> None:
    """However long that takes: nothing is given up, and nothing is taken for missing."""
    harness = make(HANDLERS, on_complete=state(say))
    events = FakeProducer(run="run-1").whole(test_a="passed")
    with ConsumerHarness(load_consumer("runs"), tmp_path / "elsewhere") as runs:
        runs.deliver(*events)
        decision = runs.emitted[-1]
    harness.deliver(*events[2:], decision)
    for _ in range(10):
        harness.run_timers(600)
    assert notes(harness) == harness.dead_letters == []
    harness.decisions(*events)
    harness.run_timers(600)
    assert notes(harness) == ["run-1 #1 complete"]


def test_a_consumer_that_cannot_read_the_record_goes_by_numbers(make: Make) -> None:
    """What the decision itself says is enough for one in another place, or of another language."""
    harness = make(HANDLERS, on_complete=state(say))
    harness.policy = replace(harness.policy, records=None)
    events = FakeProducer(run="run-1").whole(test_a="passed")
    harness.deliver(events[3], decided(harness, *events))
    harness.run_timers(LOOK_S)
    assert notes(harness) == []
    harness.deliver(events[2])
    harness.run_timers(LOOK_S)
    assert notes(harness) == ["run-1 #1 complete"]
