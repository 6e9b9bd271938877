"""Events and timers that wait for no fault of their own: a pause, a worker that ends, a target that is down."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from harness.events import FakeProducer
from testbus_broker.topology import DELIVERY_LIMIT
from testbus_consumers.errors import TargetDownError
from testbus_consumers.runtime import Done, Effects, Outcome, State, answer, effect, state
from testbus_consumers.runtime.breaker import THRESHOLD
from testbus_consumers.runtime.delivery import Acknowledge, Answer, DeadLetter, Delay
from testbus_consumers.store.tables import DELIVERY, JOB
from testbus_consumers.testing import run_context
from testbus_schemas import ProducerStarted, ResultsRecorded, VerdictRequested, produced
from tests.consumers.runtime.samples import an_event, delivery, note, notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_schemas import Event

    Make = Callable[..., ConsumerHarness]


def keep(event: Event[Any], scope: State[Any]) -> Outcome:
    """Keep the run of every event that reaches the handler."""
    note(scope, event.subject)
    return Done()


def set_timers(_event: Event[Any], scope: State[Any]) -> Outcome:
    """Set a timer that calls the target, one that does not, and one that waits for a drained queue."""
    scope.schedule("call", "1", after=timedelta(0))
    scope.schedule("count", "1", after=timedelta(0))
    scope.schedule("settle", "1", after=timedelta(0), when_drained=True)
    return Done()


def called(_payload: Any, scope: Effects[Any, Any]) -> Outcome:
    """Stand for a call of the target."""
    with scope.transaction() as inner:
        note(inner, "called")
    return Done()


def counted(_payload: Any, scope: State[Any]) -> Outcome:
    """Stand for work that needs no target."""
    note(scope, "counted")
    return Done()


def settled(_payload: Any, scope: State[Any]) -> Outcome:
    """Stand for a deadline."""
    note(scope, "settled")
    return Done()


JOBS = {"call": effect(called), "count": state(counted), "settle": state(settled)}


def bring_down(harness: ConsumerHarness) -> None:
    """Let the target's calls fail until it is left alone."""
    for _ in range(THRESHOLD):
        with pytest.raises(TargetDownError), harness.policy.breaker.guard():
            raise TargetDownError("refused")
    assert harness.policy.breaker.state == "open"


def test_an_event_fetched_before_a_pause_waits_without_counting(make: Make) -> None:
    """It goes to the first retry delay, however high it had climbed, and the ledger says why."""
    harness = make({ResultsRecorded: state(keep)})
    harness.policy.breaker.pause(None)
    event = an_event()
    settlement = harness.deliver(event, attempt=2, delays=3)
    assert isinstance(settlement, Delay)
    assert (settlement.seconds, settlement.attempt) == (harness.policy.delay_steps[0], 2)
    with harness.policy.store.begin() as connection:
        row = connection.execute(select(DELIVERY)).one()
    assert (row.status, row.reason) == ("retrying", "the queue is paused")
    assert notes(harness) == []
    harness.policy.breaker.resume()
    assert isinstance(harness.deliver(event), Acknowledge)
    assert notes(harness) == [event.subject]


def test_a_question_that_was_fetched_is_answered_all_the_same(make: Make) -> None:
    """Who asks waits only for what is still in the queue of a paused consumer."""
    harness = make({VerdictRequested: answer(lambda _event, _reader: {"status": "pending"})})
    harness.policy.breaker.pause(None)
    asked = produced(VerdictRequested(context=run_context()))
    request = delivery(asked, routing_key=None, reply_to="me")
    assert isinstance(harness.deliver_raw(request), Answer)


def test_a_paused_queue_runs_no_timer(make: Make) -> None:
    """Neither one that calls the target nor a deadline; after the resume each is run once."""
    harness = make({ProducerStarted: state(set_timers)}, jobs=JOBS)
    breaker = harness.policy.breaker
    breaker.pause(None)
    breaker.resume()
    with harness.policy.store.begin() as connection:
        set_timers(an_event(), harness.policy.state(connection, "cause"))
    breaker.pause(None)
    assert harness.run_timers(3600) == 0
    breaker.resume()
    assert harness.run_timers() == 3
    assert notes(harness) == ["called", "counted", "settled"]


def test_while_the_target_is_down_only_its_timers_wait(make: Make) -> None:
    """One that calls it, and one that waits for a queue that cannot be drained now; the others are run."""
    harness = make({}, jobs=JOBS)
    with harness.policy.store.begin() as connection:
        set_timers(an_event(), harness.policy.state(connection, "cause"))
    bring_down(harness)
    assert harness.run_timers() == 1
    assert notes(harness) == ["counted"]
    with harness.policy.store.begin() as connection:
        assert set(connection.execute(select(JOB.c.attempts)).scalars()) == {0}
    assert harness.run_timers(10) == 2
    assert notes(harness) == ["called", "counted", "settled"]


def test_an_event_for_a_target_that_is_down_counts_no_attempt(make: Make) -> None:
    """Neither the call that finds it down, nor the refusal that spares it the next."""

    def down(_event: Event[Any], _scope: Effects[Any, Any]) -> Outcome:
        raise TargetDownError("refused")

    harness = make({ResultsRecorded: effect(down)})
    for number in range(THRESHOLD + 3):
        settlement = harness.deliver(FakeProducer(f"p{number}").results(test_a="passed"))
        assert isinstance(settlement, Delay)
        assert settlement.attempt == 0
    assert harness.policy.breaker.failures == THRESHOLD
    assert harness.dead_letters == []


def test_an_event_that_ends_its_worker_is_given_up_with_a_reason(make: Make) -> None:
    """Before the broker would do it: so the ledger knows, and the run is told what it lacks."""
    harness = make({ResultsRecorded: state(keep)})
    event = an_event()
    spared = harness.deliver_raw(delivery(an_event("p2"), unanswered=DELIVERY_LIMIT // 2 - 1))
    assert isinstance(spared, Acknowledge)
    settlement = harness.deliver_raw(delivery(event, unanswered=DELIVERY_LIMIT // 2))
    assert isinstance(settlement, DeadLetter)
    assert "ends its worker" in settlement.error
    with harness.policy.store.begin() as connection:
        assert connection.execute(select(DELIVERY.c.status).where(DELIVERY.c.event_id == event.id)).scalar() == "dead"


def test_an_event_with_a_history_of_its_own_making_is_refused(make: Make) -> None:
    """The broker would believe it, should it give the event up."""
    harness = make({ResultsRecorded: state(keep)})
    settlement = harness.deliver_raw(delivery(an_event(), forged=True))
    assert isinstance(settlement, DeadLetter)
    assert "x-death" in settlement.error
    assert notes(harness) == []
