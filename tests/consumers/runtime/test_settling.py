"""Acting once on a target that shows late what it has done."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from testbus_consumers.errors import LeaseLostError, NotDoneError, UnsettledError
from testbus_consumers.runtime import Done, Effects, effect, state
from testbus_consumers.runtime.outcomes import Reject
from testbus_consumers.store import deliveries
from testbus_schemas import ResultsRecorded, RunCompleted, derived
from testbus_schemas.identity import new_id
from tests.consumers.runtime.samples import an_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness

    Make = Callable[..., ConsumerHarness]

#: How long a target needs to show what it has done.
SETTLE = timedelta(seconds=120)


class Target:
    """Creates, loses its answers when told to, and shows what it has only when told to."""

    def __init__(self) -> None:
        """Have nothing."""
        self.made = 0
        self.shows = False
        self.error: Exception | None = ConnectionResetError("the answer got lost")

    def act(self) -> str:
        """Make one."""
        if isinstance(self.error, NotDoneError):
            raise self.error
        self.made += 1
        if self.error:
            raise self.error
        return "made"

    def ask(self) -> str | None:
        """Find it, if it shows."""
        return "found" if self.shows and self.made else None


@pytest.fixture
def effects(make: Make) -> Effects[Any, Any]:
    """Return what a handler is given."""
    return make({ResultsRecorded: effect(lambda *_: Done())}).policy.effects("test")


def moved(effects: Effects[Any, Any], seconds: float) -> Effects[Any, Any]:
    """Return the same, so much later."""
    later = effects.clock() + seconds
    fields = {name: getattr(effects, name) for name in ("store", "consumer", "settings", "client", "cause", "held")}
    return Effects(**fields, clock=lambda: later)


def test_nothing_found_is_not_believed_before_it_would_show(effects: Effects[Any, Any]) -> None:
    """A lost answer: asked at once, and again until it shows; never made twice."""
    target = Target()
    with pytest.raises(ConnectionResetError):
        effects.once("key", target.act, target.ask, settle=SETTLE)
    with pytest.raises(UnsettledError, match="look again in 60 s") as caught:
        moved(effects, 60).once("key", target.act, target.ask, settle=SETTLE)
    assert caught.value.after == timedelta(seconds=60)
    target.shows = True
    assert moved(effects, 61).once("key", target.act, target.ask, settle=SETTLE) == "found"
    assert target.made == 1


def test_each_attempt_settles_anew(effects: Effects[Any, Any]) -> None:
    """What was not there in time is made after all; when that answer is lost too, the time begins again."""
    target = Target()
    for seconds in (0, 120):
        with pytest.raises(ConnectionResetError):
            moved(effects, seconds).once("key", target.act, target.ask, settle=SETTLE)
    assert target.made == 2
    with pytest.raises(UnsettledError):
        moved(effects, 239).once("key", target.act, target.ask, settle=SETTLE)


def test_a_worker_that_was_overtaken_does_not_act(effects: Effects[Any, Any]) -> None:
    """Of two that found nothing, the one that comes second sees that the other has begun."""
    target = Target()
    with pytest.raises(ConnectionResetError):
        effects.once("key", target.act, target.ask, settle=SETTLE)

    def overtaken() -> None:
        with pytest.raises(ConnectionResetError):
            moved(effects, 121).once("key", target.act, target.ask, settle=SETTLE)

    with pytest.raises(LeaseLostError):
        moved(effects, 120).once("key", target.act, overtaken, settle=SETTLE)
    assert target.made == 2


def test_what_was_surely_not_done_may_be_tried_at_once(effects: Effects[Any, Any]) -> None:
    """A refusal takes the intent back: no question, and nothing to wait for."""
    target = Target()
    target.error = NotDoneError()
    for _ in range(2):
        with pytest.raises(NotDoneError):
            effects.once("key", target.act, target.ask, settle=SETTLE)
    target.error = None
    assert effects.once("key", target.act, target.ask, settle=SETTLE) == "made"


def test_two_workers_are_never_in_blocks_of_one_key(
    effects: Effects[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one holds a key the other is turned away; another key is free; afterwards all are."""
    monkeypatch.setattr("testbus_consumers.runtime.leases.WAIT_S", 0.0)
    with effects.holding("key"), effects.holding("other"), pytest.raises(LeaseLostError), effects.holding("key"):
        pass
    with effects.holding("key"):
        pass


@pytest.mark.parametrize("kind", [state, effect])
def test_what_a_completed_run_led_to_is_told_in_the_ledger(make: Make, kind: Any) -> None:
    """The decision's line says what `on_complete` noted, and stays as it is when that was rejected."""
    outcomes = iter([Done("5 of 6 filed"), Reject("no")])
    harness = make({ResultsRecorded: state(lambda *_: Done())}, on_complete=kind(lambda *_: next(outcomes)))
    for run, reason in (("run-1", "5 of 6 filed"), ("run-2", "no")):
        producer = FakeProducer(f"p-{run}", run=run)
        event = producer.results(test_a="passed")
        data = RunCompleted(
            context=producer.context,
            revision=1,
            expected={producer.name: {"results.recorded": 1}},
            finished_at=producer.context.started_at,
        )
        harness.deliver(event, derived(data, consumer="runs", event_id=new_id()))
        with harness.policy.store.begin() as connection:
            assert deliveries.of_run(connection, run)[-1].reason == reason


def test_an_event_that_is_not_settled_yet_waits_without_counting(make: Make) -> None:
    """Waiting for a target's index is nobody's fault, whoever forgot to say so."""

    def handle(_event: object, _effects: object) -> Done:
        raise UnsettledError("not yet", SETTLE)

    harness = make({ResultsRecorded: effect(handle)})
    harness.deliver(an_event(), attempt=4)
    (delay,) = harness.delays
    assert delay.attempt == 4


def test_without_a_settle_time_clocks_may_differ(effects: Effects[Any, Any]) -> None:
    """An attempt by a machine whose clock is ahead is asked for at once."""
    target = Target()
    target.shows = True
    with pytest.raises(ConnectionResetError):
        moved(effects, 60).once("key", target.act, target.ask)
    assert effects.once("key", target.act, target.ask) == "found"
    assert target.made == 1
