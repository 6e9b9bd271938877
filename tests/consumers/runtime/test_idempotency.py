"""However often an event comes, and wherever a worker dies: handled once, and published at least once, with one id."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from testbus_broker.errors import BrokerError
from testbus_consumers.runtime import Done, Effects, Outcome, State, effect, state
from testbus_consumers.runtime.delivery import Acknowledge, Delay
from testbus_consumers.store.outbox import publish_stragglers
from testbus_consumers.store.tables import OUTBOX
from testbus_schemas import Event, ResultsRecorded
from tests.consumers.runtime.samples import FailingPublisher, an_event, count_rows, delivery, emit, note, notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness

    Make = Callable[..., ConsumerHarness]


def keep_and_tell(event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
    """Keep a line, and derive an event."""
    note(state, event.id)
    emit(state, event)
    return Done()


def test_a_duplicate_is_acknowledged_and_changes_nothing(make: Make) -> None:
    """An event that is done already does not run its handler again."""
    harness = make({ResultsRecorded: state(keep_and_tell)})
    event = an_event()
    assert [harness.deliver(event) for _ in range(3)] == [
        Acknowledge(),
        Acknowledge("already done"),
        Acknowledge("already done"),
    ]
    assert notes(harness) == [event.id]
    assert len(harness.emitted) == 1


def test_duplicates_at_the_same_time_run_the_handler_once(make: Make) -> None:
    """Of many workers with the same event one handles it, and the others see that."""
    harness = make({ResultsRecorded: state(keep_and_tell)})
    events = [an_event(f"p{number}") for number in range(5)]
    with ThreadPoolExecutor(8) as workers:
        settlements = list(workers.map(harness.policy.deliver, [delivery(event) for event in events] * 8))
    assert {type(settlement) for settlement in settlements} == {Acknowledge}
    assert notes(harness) == sorted(event.id for event in events)
    # One that overtakes may publish what is not confirmed yet: more often than once, but always the same event.
    assert len({event.id for event in harness.emitted}) == len(events)


def test_duplicates_at_the_same_time_act_once(make: Make) -> None:
    """An effect handler's lease makes the second worker wait, and then look again whether the event is done."""
    acted: list[str] = []

    def act(event: Event[ResultsRecorded], _effects: Effects[Any, Any]) -> Outcome:
        acted.append(event.id)
        return Done()

    harness = make({ResultsRecorded: effect(act)})
    event = an_event()
    with ThreadPoolExecutor(4) as workers:
        settlements = list(workers.map(harness.policy.deliver, [delivery(event)] * 4))
    assert {type(settlement) for settlement in settlements} == {Acknowledge}
    assert acted == [event.id]


def test_what_a_broker_did_not_confirm_is_published_when_the_event_comes_again(make: Make) -> None:
    """The event is retried without counting, its rows are kept, and what it led to is published once confirmed."""
    harness = make({ResultsRecorded: state(keep_and_tell)})
    publisher = FailingPublisher(BrokerError("the broker is restarting"))
    policy = replace(harness.policy, publisher=publisher)
    event = an_event()
    first = policy.deliver(delivery(event))
    assert first == Delay(seconds=5, attempt=0, delays=1, reason="BrokerError: the broker is restarting")
    assert notes(harness) == [event.id]
    assert isinstance(policy.deliver(delivery(event, delays=1)), Acknowledge)
    assert len(publisher.messages) == 1
    assert isinstance(policy.deliver(delivery(event)), Acknowledge)
    assert len(publisher.messages) == 1
    assert count_rows(harness, OUTBOX) == 0


def test_a_worker_that_dies_between_commit_and_publication_loses_nothing(
    make: Make,
) -> None:
    """The broker delivers the event again, and the next worker publishes what the first one had committed."""

    class KilledError(BaseException):
        """Stands for the end of the process: nothing in the runtime may catch it."""

    harness = make({ResultsRecorded: state(keep_and_tell)})
    event = an_event()
    dying = replace(harness.policy, publisher=FailingPublisher(KilledError()))  # type: ignore[arg-type]
    with pytest.raises(KilledError):
        dying.deliver(delivery(event))
    assert (count_rows(harness, OUTBOX), harness.emitted) == (1, [])
    harness.deliver(event)
    assert notes(harness) == [event.id]
    (emitted,) = harness.emitted
    assert count_rows(harness, OUTBOX) == 0
    assert emitted.name == "run.reopened"


def test_what_a_dead_worker_left_behind_is_published_by_any_other(make: Make) -> None:
    """Also when its event never comes again: what is old and unconfirmed is swept up."""
    harness = make({ResultsRecorded: state(keep_and_tell)})
    silent = replace(harness.policy, publisher=FailingPublisher(BrokerError("gone")))
    silent.deliver(delivery(an_event()))
    now = harness.now.timestamp()
    assert publish_stragglers(harness.policy.store, harness.policy.publisher, now - 1) == 0
    assert publish_stragglers(harness.policy.store, harness.policy.publisher, now + 1) == 1
    assert [event.name for event in harness.emitted] == ["run.reopened"]
    assert publish_stragglers(harness.policy.store, harness.policy.publisher, now + 1) == 0


def test_handling_again_derives_the_same_event(make: Make) -> None:
    """The id follows from what was counted, so whoever handles the event anew tells nobody anything new."""
    ids = set()
    for _ in range(2):
        harness = make({ResultsRecorded: state(keep_and_tell)}, jobs={})
        harness.deliver(an_event())
        ids |= {event.id for event in harness.emitted}
    assert len(ids) == 1
