"""Timers: set with the rows that want them, run by any worker, put off and given up like events."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from testbus_broker.errors import BrokerError
from testbus_consumers.runtime import Done, Effects, Outcome, Reject, Retry, State, effect, state
from testbus_consumers.runtime.leases import LEASE_S
from testbus_consumers.runtime.timers import run_due
from testbus_consumers.store import jobs
from testbus_schemas import Event, ResultsRecorded
from tests.consumers.runtime.samples import FailingPublisher, an_event, emit, note, notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness

    Make = Callable[..., ConsumerHarness]


def remind(after: float = 60, **options: Any) -> Any:
    """Return handlers that set the timer `reminder` of the event's producer."""

    def handle(event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
        assert event.data.producer
        state.schedule(
            "reminder", event.data.producer.id, after=timedelta(seconds=after), payload={"of": event.id}, **options
        )
        return Done()

    return {ResultsRecorded: state(handle)}


def keep(payload: dict[str, Any], state: State[Any]) -> Outcome:
    """Keep what the timer was given."""
    note(state, payload["of"])
    return Done()


def test_a_timer_runs_once_when_it_is_due(make: Make) -> None:
    """Not before its time, and not again after it."""
    harness = make(remind(), jobs={"reminder": state(keep)})
    event = an_event()
    harness.deliver(event)
    assert harness.run_timers(59) == 0
    assert harness.run_timers(1) == 1
    assert harness.run_timers(1000) == 0
    assert notes(harness) == [event.id]


def test_setting_a_timer_again_replaces_it(make: Make) -> None:
    """Of the same name and key there is one: the latest time and payload hold."""
    harness = make(remind(), jobs={"reminder": state(keep)})
    first, second = an_event("p1"), an_event("p1").model_copy(update={"id": "second"})
    harness.deliver(first)
    harness.run_timers(30)
    harness.deliver(second)
    assert harness.run_timers(59) == 0
    assert harness.run_timers(1) == 1
    assert notes(harness) == ["second"]


def test_a_cancelled_timer_never_runs(make: Make) -> None:
    """Nor is cancelling one that does not exist a fault."""

    def forget(_payload: dict[str, Any], state: State[Any]) -> Outcome:
        state.cancel("reminder", "p2")
        state.cancel("reminder", "nobody")
        return Done("cancelled p2")

    handlers = remind()
    harness = make(handlers, jobs={"reminder": state(forget)})
    harness.deliver(an_event("p1"))
    harness.run_timers(1)
    harness.deliver(an_event("p2"))
    assert harness.run_timers(59) == 1
    assert harness.run_timers(1000) == 0


def test_a_deadline_does_not_take_a_backlog_for_silence(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `when_drained` a timer waits for as long as events wait in the queue."""
    harness = make(remind(when_drained=True), jobs={"reminder": state(keep)})
    harness.deliver(an_event())
    monkeypatch.setattr(harness, "drained", lambda: False)
    harness.run_timers(60)
    harness.run_timers(3600)
    assert notes(harness) == []
    monkeypatch.undo()
    harness.run_timers(1)
    assert len(notes(harness)) == 1


@pytest.mark.parametrize("kind", [state, effect])
def test_a_timer_that_fails_climbs_the_ladder_and_is_given_up(make: Make, kind: Callable[..., Any]) -> None:
    """It is kept with its reason until somebody sets it again; the worker goes on."""
    harness = make(remind(0), jobs={"reminder": kind(lambda *_: 1 / 0)})
    harness.deliver(an_event())
    assert [harness.run_timers(seconds) for seconds in (4, 1, 29, 1, 120, 599, 1, 10_000)] == [0, 1, 0, 1, 1, 0, 1, 0]
    with harness.policy.store.begin() as connection:
        assert jobs.dead(connection) == [("reminder", "p1", "ZeroDivisionError: division by zero")]
    harness.deliver(an_event("p2"))
    assert len(harness.delays) == 0


def test_a_timer_whose_target_is_down_is_never_given_up(make: Make) -> None:
    """Uncounted attempts goes through the retry delays, and stay on its longest step."""
    harness = make(remind(0), jobs={"reminder": effect(lambda *_: Retry("target down", counted=False))})
    harness.deliver(an_event())
    assert [harness.run_timers(step) for step in (5, 30, 120, *[600] * 10)] == [1] * 13


def test_a_rejected_timer_is_given_up_at_once(make: Make) -> None:
    """What can never work is not tried again."""
    harness = make(remind(0), jobs={"reminder": state(lambda *_: Reject("no such customer"))})
    harness.deliver(an_event())
    assert harness.run_timers(10_000) == 0
    with harness.policy.store.begin() as connection:
        assert jobs.dead(connection) == [("reminder", "p1", "no such customer")]


def test_a_timer_without_a_handler_says_so(make: Make) -> None:
    """A timer that an earlier version set under another name is given up with a hint."""
    harness = make(remind(0))
    harness.deliver(an_event())
    with harness.policy.store.begin() as connection:
        ((_, _, reason),) = jobs.dead(connection)
    assert reason == "consumer sample has no timer 'reminder': was it renamed?"


def test_a_failing_timer_leaves_nothing_behind(make: Make) -> None:
    """As with events, rows and timers of a failed attempt are rolled back."""
    outcomes = iter([Retry("not yet"), Done()])

    def try_it(payload: dict[str, Any], state: State[Any]) -> Outcome:
        note(state, payload["of"])
        return next(outcomes)

    harness = make(remind(0), jobs={"reminder": state(try_it)})
    harness.deliver(an_event())
    assert notes(harness) == []
    harness.run_timers(5)
    assert len(notes(harness)) == 1


def test_a_timer_may_set_itself_again(make: Make) -> None:
    """A handler that schedules its own name and key makes a schedule."""

    def tick(payload: dict[str, Any], state: State[Any]) -> Outcome:
        note(state, f"{payload}")
        state.schedule("reminder", "p1", after=timedelta(seconds=60), payload=payload)
        return Done()

    harness = make(remind(), jobs={"reminder": state(tick)})
    harness.deliver(an_event())
    assert [harness.run_timers(60) for _ in range(3)] == [1, 1, 1]


def test_workers_share_the_timers_that_are_due(make: Make) -> None:
    """Whatever their number, each timer is run by one of them."""
    harness = make(remind(), jobs={"reminder": state(keep)})
    events = [an_event(f"p{number}") for number in range(12)]
    harness.deliver(*events)
    policy = harness.policy
    harness._now += 60

    def work(_worker: int) -> int:
        ran = 0
        while run_due(policy, harness):
            ran += 1
        return ran

    with ThreadPoolExecutor(4) as workers:
        assert sum(workers.map(work, range(4))) == 12
    assert notes(harness) == sorted(event.id for event in events)


def test_a_dead_workers_timer_is_taken_over(make: Make) -> None:
    """A timer that was taken and never finished is due again once its lease is over."""
    harness = make(remind(0), jobs={"reminder": state(keep)})
    with harness.policy.store.begin() as connection:
        jobs.schedule(connection, "reminder", "p1", harness.now.timestamp(), {"of": "me"})
        assert jobs.take(connection, harness.now.timestamp() + 1, LEASE_S)
    assert harness.run_timers(LEASE_S - 1) == 0
    assert harness.run_timers(3) == 1
    assert notes(harness) == ["me"]


def test_a_timer_that_is_set_anew_while_it_runs_runs_again(make: Make) -> None:
    """What an event asked for in the meantime is not forgotten with what was under way."""
    seen: list[str] = []

    def slow(payload: dict[str, Any], effects: Effects[Any, Any]) -> Outcome:
        seen.append(payload["of"])
        if len(seen) == 1:
            with effects.transaction() as state:
                state.schedule("reminder", "p1", after=timedelta(0), payload={"of": "anew"})
        return Done()

    harness = make(remind(0), jobs={"reminder": effect(slow)})
    event = an_event()
    harness.deliver(event)
    assert seen == [event.id, "anew"]


def test_what_a_timer_led_to_is_published(make: Make) -> None:
    """And kept for a later sweep, when the broker is away at that moment."""
    event = an_event()

    def tell(_payload: dict[str, Any], state: State[Any]) -> Outcome:
        emit(state, event)
        return Done()

    harness = make(remind(), jobs={"reminder": state(tell)})
    harness.deliver(event)
    harness.run_timers(60)
    assert [emitted.name for emitted in harness.emitted] == ["run.reopened"]
    harness.deliver(an_event("p2"))
    object.__setattr__(harness.policy, "publisher", FailingPublisher(BrokerError("away")))
    assert harness.run_timers(60) == 1
    assert harness.run_timers(10_000) == 0
