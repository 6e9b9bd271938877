"""What a handler answers, and what becomes of the event then."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Table, select, text

from testbus_consumers.errors import TargetDownError
from testbus_consumers.runtime import Done, Effects, Outcome, Reject, Retry, State, effect, state
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.store import deliveries
from testbus_consumers.store.deliveries import Status
from testbus_consumers.store.tables import JOB, OUTBOX
from testbus_schemas import Event, ResultsRecorded
from testbus_schemas.coverage import parse_lines
from tests.consumers.runtime.samples import NOTE, an_event, count_rows, emit, note, notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness

    Make = Callable[..., ConsumerHarness]

#: The retry delays of a default configuration, in seconds.
LADDER = [5, 30, 120, 600]


def ledgered(harness: ConsumerHarness) -> deliveries.Ledgered:
    """Return the ledger's only row."""
    with harness.policy.store.begin() as connection:
        (row,) = deliveries.of_run(connection, "run-1")
    return row


def climb(harness: ConsumerHarness, event: Event[Any]) -> list[object]:
    """Deliver an event, and again after each delay, until it is settled for good."""
    settlements: list[object] = [harness.deliver(event)]
    while isinstance(settlements[-1], Delay):
        before = settlements[-1]
        settlements.append(harness.deliver(event, attempt=before.attempt, delays=before.delays))
    return settlements


def test_done_keeps_rows_and_publishes_what_was_emitted(make: Make) -> None:
    """Rows, seen mark and derived events of a handled event are committed together, then it is acknowledged."""

    def handle(event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
        note(state, "kept")
        emit(state, event)
        return Done("noted")

    harness = make({ResultsRecorded: state(handle)})
    assert harness.deliver(an_event()) == Acknowledge("noted")
    assert notes(harness) == ["kept"]
    assert [event.name for event in harness.emitted] == ["run.reopened"]
    assert (ledgered(harness).status, ledgered(harness).reason, ledgered(harness).attempts) == (Status.DONE, "noted", 1)


@pytest.mark.parametrize("outcome", [Retry("not now"), Reject("never")])
def test_an_event_that_is_not_done_leaves_nothing_behind(make: Make, outcome: Outcome) -> None:
    """With Retry or Reject the rows, timers and derived events of the attempt are rolled back."""

    def handle(event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
        note(state, "not kept")
        emit(state, event)
        state.schedule("later", "x", after=timedelta(0))
        return outcome

    harness = make({ResultsRecorded: state(handle)})
    harness.deliver(an_event())
    assert harness.emitted == []
    empty: list[Table] = [NOTE, OUTBOX, JOB]
    assert [count_rows(harness, table) for table in empty] == [0, 0, 0]


def test_retries_climb_the_ladder_and_end_in_a_dead_letter(make: Make) -> None:
    """One attempt, then one after each step; what still fails then is given up with its last reason."""
    harness = make({ResultsRecorded: state(lambda *_: Retry("not now"))})
    *delays, last = climb(harness, an_event())
    assert [delay.seconds for delay in delays if isinstance(delay, Delay)] == LADDER
    assert last == DeadLetter(error="not now", attempts=5)
    assert harness.dead_letters == [last]
    assert (ledgered(harness).status, ledgered(harness).attempts) == (Status.DEAD, 5)


def test_the_ledger_says_when_an_event_is_tried_again(make: Make) -> None:
    """While an event waits, the ledger has its reason and its time."""
    harness = make({ResultsRecorded: state(lambda *_: Retry("the moon is wrong"))})
    harness.deliver(an_event())
    row = ledgered(harness)
    assert (row.status, row.reason, row.attempts) == (Status.RETRYING, "the moon is wrong", 1)
    assert row.next_at == pytest.approx(harness.now.timestamp() + 5)


@pytest.mark.parametrize(
    ("after", "step"), [(timedelta(0), 5), (timedelta(seconds=6), 30), (timedelta(minutes=5), 600), (timedelta(9), 600)]
)
def test_a_handler_may_ask_for_a_later_attempt(make: Make, after: timedelta, step: int) -> None:
    """`after` picks the first retry delay that is long enough, or the longest there is."""
    harness = make({ResultsRecorded: state(lambda *_: Retry("later", after=after))})
    settlement = harness.deliver(an_event())
    assert isinstance(settlement, Delay)
    assert settlement.seconds == step


def test_an_event_is_never_given_up_because_a_target_is_down(make: Make) -> None:
    """Uncounted attempts stay on the longest step, however many there are."""
    harness = make({ResultsRecorded: state(lambda *_: Retry("target down", counted=False))})
    settlement = harness.deliver(an_event(), attempt=4, delays=1000)
    assert settlement == Delay(seconds=600, attempt=4, delays=1001, reason="target down")


def test_a_target_that_raises_is_down_too(make: Make) -> None:
    """TargetDownError from a client means the same as an uncounted Retry."""

    def handle(_event: Event[ResultsRecorded], _effects: Effects[Any, Any]) -> Outcome:
        raise TargetDownError("no answer from the target")

    harness = make({ResultsRecorded: effect(handle)})
    settlement = harness.deliver(an_event(), attempt=4)
    assert isinstance(settlement, Delay)
    assert (settlement.attempt, settlement.reason) == (4, "TargetDownError: no answer from the target")


def test_reject_goes_to_the_dead_letters_at_once(make: Make) -> None:
    """What can never work does not goes through the retry delays."""
    harness = make({ResultsRecorded: state(lambda *_: Reject("unknown customer: add it, then redrive"))})
    assert harness.deliver(an_event()) == DeadLetter(error="unknown customer: add it, then redrive", attempts=1)


def test_a_fault_of_a_handler_is_retried_and_then_kept_with_its_traceback(make: Make) -> None:
    """An exception must not lose the event: it is tried again, and the dead letter says where it was raised."""

    def handle(_event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
        note(state, "not kept")
        raise KeyError("colour")

    harness = make({ResultsRecorded: state(handle)})
    *delays, last = climb(harness, an_event())
    assert len(delays) == len(LADDER)
    assert isinstance(last, DeadLetter)
    assert last.error == "KeyError: 'colour'"
    assert 'raise KeyError("colour")' in last.traceback
    assert notes(harness) == []


def test_what_the_database_refuses_of_an_event_is_that_events_fault(make: Make) -> None:
    """A violated constraint will not pass by waiting, so the attempts are counted."""

    def handle(_event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
        state.execute(text("INSERT INTO note (text) VALUES (NULL)"))
        return Done()

    harness = make({ResultsRecorded: state(handle)})
    settlement = harness.deliver(an_event())
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 1
    assert settlement.reason.startswith("IntegrityError: ")


@pytest.mark.parametrize("said", ["\0", "half \ud83d", "\0" * 9000])
def test_what_a_target_said_is_kept_as_far_as_it_can_be(make: Make, said: str) -> None:
    """A note with what no database keeps stops nothing: neither what is done, put off, given up nor timed."""
    event, later, never, timed = (an_event(name) for name in ("done", "later", "never", "timed"))
    outcomes = {event.id: Done(said), later.id: Retry(said), never.id: Reject(said)}

    def handle(event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
        if event.id not in outcomes:
            state.schedule("timer", "t", after=timedelta(0), payload={})
        return outcomes.get(event.id, Done())

    harness = make({ResultsRecorded: state(handle)}, jobs={"timer": state(lambda *_: Retry(said))})
    kinds = [type(harness.deliver(one)) for one in (event, later, never, timed)]
    assert kinds == [Acknowledge, Delay, DeadLetter, Acknowledge]
    with harness.policy.store.begin() as connection:
        rows = {row.event_id: row for row in deliveries.of_run(connection, event.subject)}
        assert [rows[one.id].status for one in (event, later, never)] == ["done", "retrying", "dead"]
        assert "\ufffd" in rows[event.id].reason or "?" in rows[event.id].reason
        (timer,) = connection.execute(select(JOB).where(JOB.c.name == "timer")).all()
    assert timer.attempts == 1


def test_data_that_a_handler_cannot_read_are_rejected_at_once(make: Make) -> None:
    """A SchemaError in a handler is a fault of the event that no further attempt can mend."""

    def handle(_event: Event[ResultsRecorded], _state: State[Any]) -> Outcome:
        parse_lines("one to five")
        return Done()

    harness = make({ResultsRecorded: state(handle)})
    settlement = harness.deliver(an_event())
    assert isinstance(settlement, DeadLetter)
    assert settlement.error.startswith("line set 'one to five': expected")


def test_an_event_that_succeeds_at_last_is_done(make: Make) -> None:
    """Earlier failures leave no trace but the number of attempts."""
    outcomes = iter([Retry("not yet"), Retry("not yet"), Done()])
    harness = make({ResultsRecorded: state(lambda *_: next(outcomes))})
    assert climb(harness, an_event())[-1] == Acknowledge()
    assert (ledgered(harness).status, ledgered(harness).attempts, ledgered(harness).next_at) == (Status.DONE, 3, None)


def test_an_event_without_a_handler_is_passed_over(make: Make) -> None:
    """It is acknowledged, and the ledger says that nothing here reacts to it."""
    harness = make({})
    assert isinstance(harness.deliver(an_event()), Acknowledge)
    assert ledgered(harness).status is Status.SKIPPED
