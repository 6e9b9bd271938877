"""What follows from a replayed event is marked as such, and a consumer that notifies people keeps silent about it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from testbus_broker.message import REPLAYED
from testbus_consumers.runtime import Done, Effects, Outcome, Retry, RunCompletion, State, effect, state
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.store import deliveries
from testbus_schemas import Event, ProducerStarted, ResultsRecorded, RunCompleted, derived
from testbus_schemas.identity import new_id
from tests.consumers.runtime.samples import an_event, emit, note, notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_schemas import EventData

    Make = Callable[..., ConsumerHarness]


def say(event: Event[Any], effects: Effects[Any, Any]) -> Outcome:
    """Tell people, as far as the test sees it."""
    with effects.transaction() as transaction:
        note(transaction, f"said {event.id}")
    return Done("said")


def keep(event: Event[Any], state: State[Any]) -> Outcome:
    """Keep what was heard, and derive an event."""
    note(state, f"kept {event.id} {state.replayed}")
    emit(state, event)
    state.schedule("later", "k", after=timedelta(0))
    return Done()


def close(completion: RunCompletion, effects: Effects[Any, Any]) -> Outcome:
    """Tell people of a complete run."""
    with effects.transaction() as transaction:
        note(transaction, f"closed {completion.run} {completion.replayed}")
    return Done("closed")


def marks(harness: ConsumerHarness) -> list[str]:
    """Return the ids of replays on the derived events."""
    return [str(message.headers.get(REPLAYED, "")) for message in harness._publisher.messages]


def status(harness: ConsumerHarness, event: Event[EventData]) -> tuple[str, str]:
    """Return what the ledger says of an event, and why."""
    with harness.policy.store.begin() as connection:
        rows = deliveries.of_run(connection, event.subject)
    return next((row.status.value, row.reason) for row in rows if row.event_id == event.id)


def completed(producer: FakeProducer, **counts: int) -> Event[EventData]:
    """Return the decision that a run is complete with so many events of one producer."""
    data = RunCompleted(
        context=producer.context,
        revision=1,
        expected={producer.name: {name.replace("_", "."): n for name, n in counts.items()}},
        superseded=(),
        finished_at=producer.context.started_at,
    )
    return derived(data, consumer="runs", event_id=new_id(), time=producer.context.started_at)


def test_effects_of_a_notifier_are_left_out_and_the_ledger_says_so(make: Make) -> None:
    """An event of the past is settled without a word; the same consumer tells of what happens now."""
    harness = make({ResultsRecorded: effect(say)}, notifies=True)
    old, new = an_event("p1"), an_event("p2")
    assert harness.deliver(old, replay="r1") == Acknowledge("silent: replayed")
    harness.deliver(new)
    assert notes(harness) == [f"said {new.id}"]
    assert status(harness, old) == ("silent", "silent: replayed")


def test_effects_of_others_are_not(make: Make) -> None:
    """A replay fills a target: only words to people are left out."""
    harness = make({ResultsRecorded: effect(say)})
    event = an_event()
    harness.deliver(event, replay="r1")
    assert notes(harness) == [f"said {event.id}"]


def test_a_live_event_that_a_replay_overtook_is_still_told(make: Make) -> None:
    """Silence holds only for the past: the live copy, which comes later, speaks; a second replay changes nothing."""
    harness = make({ResultsRecorded: effect(say)}, notifies=True)
    event = an_event()
    harness.deliver(event, replay="r1")
    assert harness.deliver(event, replay="r2") == Acknowledge("already done")
    assert harness.deliver(event) == Acknowledge("said")
    assert harness.deliver(event, replay="r3") == Acknowledge("already done")
    assert notes(harness) == [f"said {event.id}"]
    assert status(harness, event)[0] == "done"


@pytest.mark.parametrize("outcome", ["retry", "dead"])
def test_a_live_event_that_a_replay_overtook_is_counted_once(make: Make, outcome: str) -> None:
    """Passed over, then tried in vain, then told: one event of the run all the same."""
    answers: list[Outcome] = [Retry("the target is busy"), Done("said")]

    def stumble(event: Event[Any], effects: Effects[Any, Any]) -> Outcome:  # noqa: ARG001 as every handler
        return answers.pop(0)

    producer = FakeProducer()
    event = producer.results(test_a="passed")
    harness = make({ResultsRecorded: effect(stumble)}, notifies=True, on_complete=effect(close))
    harness.deliver(event, replay="r1")
    settlement = harness.deliver(event, attempt=0 if outcome == "retry" else 99)
    assert isinstance(settlement, Delay if outcome == "retry" else DeadLetter)
    assert harness.deliver(event) == Acknowledge("said")
    harness.deliver(completed(producer, results_recorded=1))
    assert notes(harness) == ["closed run-1 False"]
    assert not harness.dead_letters or outcome == "dead"


def test_what_is_derived_and_set_carries_the_mark_on(make: Make) -> None:
    """Rows, derived events and timers of a replayed event know that they are about the past."""

    def ring(payload: dict[str, Any], state: State[Any]) -> Outcome:  # noqa: ARG001 as every timer
        note(state, f"rang {state.replayed}")
        return Done()

    harness = make({ResultsRecorded: state(keep)}, notifies=True, jobs={"later": state(ring)})
    old, new = an_event("p1"), an_event("p2")
    harness.deliver(old, replay="r1")
    assert notes(harness) == [f"kept {old.id} True", "rang True"]
    harness.deliver(new)
    assert f"kept {new.id} False" in notes(harness)
    assert "rang False" in notes(harness)
    assert marks(harness) == ["r1", ""]


def test_a_timer_that_is_waiting_with_news_is_not_made_silent(make: Make) -> None:
    """A replayed event that sets a timer anew does not take away what a live one wanted told; afterwards it may."""

    def remind(event: Event[Any], state: State[Any]) -> Outcome:  # noqa: ARG001 as every handler
        state.schedule("tell", "k", after=timedelta(seconds=5))
        return Done()

    def tell(payload: dict[str, Any], effects: Effects[Any, Any]) -> Outcome:  # noqa: ARG001 as every timer
        with effects.transaction() as transaction:
            note(transaction, "told")
        return Done()

    harness = make({ResultsRecorded: state(remind)}, notifies=True, jobs={"tell": effect(tell)})
    harness.deliver(an_event("p1"))
    harness.deliver(an_event("p2"), replay="r1")
    assert harness.run_timers(6) == 1
    assert notes(harness) == ["told"]
    harness.deliver(an_event("p3"), replay="r1")
    assert harness.run_timers(6) == 1
    assert notes(harness) == ["told"]


@pytest.mark.parametrize(("replay", "told"), [("", ["closed run-1 False"]), ("r1", [])])
def test_a_run_that_replayed_events_complete_is_one_of_the_past(make: Make, replay: str, told: list[str]) -> None:
    """What follows from the last event belongs to the replay that sent it; the decision's row says why all is quiet."""
    producer = FakeProducer()
    event, decision = producer.results(test_a="passed"), completed(producer, results_recorded=1)
    harness = make({ResultsRecorded: state(lambda _, state: Done())}, notifies=True, on_complete=effect(close))  # noqa: ARG005
    harness.deliver(event, decision, replay=replay)
    assert notes(harness) == told
    assert status(harness, decision)[1] == ("silent: replayed" if replay else "closed")


def test_a_run_of_the_past_is_closed_where_nobody_is_told(make: Make) -> None:
    """A target is filled to its end; `replayed` tells the handler."""
    producer = FakeProducer()
    event, decision = producer.results(test_a="passed"), completed(producer, results_recorded=1)
    harness = make({ResultsRecorded: effect(say)}, on_complete=effect(close))
    harness.deliver(event, decision, replay="r1")
    assert notes(harness) == ["closed run-1 True", f"said {event.id}"]


def test_a_replayed_decision_that_waits_in_vain_stays_one_of_the_past(make: Make) -> None:
    """What a replay could not complete is given up in silence too."""
    producer = FakeProducer()
    harness = make({ResultsRecorded: effect(say)}, notifies=True, on_complete=effect(close))
    decision = completed(producer, results_recorded=1)
    harness.deliver(producer.started(), decision, replay="r1")
    harness.run_timers(61)
    assert status(harness, decision)[1] == "silent: replayed"
    assert notes(harness) == []


def test_a_replayed_event_that_is_tried_in_vain_stays_one_of_the_past(make: Make) -> None:
    """Whoever tries is told each time that it is about the past."""
    seen = []

    def never(event: Event[Any], effects: Effects[Any, Any]) -> Outcome:  # noqa: ARG001 as every handler
        seen.append(effects.replayed)
        return Retry("busy")

    harness = make({ProducerStarted: effect(never)})
    event = FakeProducer().started()
    assert isinstance(harness.deliver(event, replay="r1"), Delay)
    assert isinstance(harness.deliver(event, attempt=99, replay="r1"), DeadLetter)
    assert seen == [True, True]
