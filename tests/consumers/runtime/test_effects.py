"""Acting on a target: once, one at a time, and with a memory that outlives the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers.errors import LeaseLostError
from testbus_consumers.runtime import Done, Effects, Outcome, Retry, check_leases, effect
from testbus_consumers.runtime import leases as leasing
from testbus_consumers.runtime.delivery import Acknowledge, Delay
from testbus_consumers.store import leases
from testbus_schemas import Event as BusEvent
from testbus_schemas import ResultsRecorded
from tests.consumers.runtime.samples import an_event, delivery, emit, note, notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness

    Make = Callable[..., ConsumerHarness]

ROOT = Path(__file__).parents[3]


class Target:
    """An outside system: it knows what was created at it, by key, and may lose its answer."""

    def __init__(self) -> None:
        """Know nothing."""
        self.created: list[str] = []
        self.asked = 0
        self.lose_answer = False

    def create(self, key: str) -> dict[str, str]:
        """Create something; with `lose_answer` nobody learns that it has worked."""
        self.created.append(key)
        if self.lose_answer:
            raise ConnectionResetError("the answer got lost")
        return {"id": f"made-{key}"}

    def find(self, key: str) -> dict[str, str] | None:
        """Look something up by its key."""
        self.asked += 1
        return {"id": f"made-{key}"} if key in self.created else None


@pytest.fixture
def target() -> Target:
    """Return a target that knows nothing."""
    return Target()


def ticket(target: Target, results: list[Any], outcome: Outcome | None = None) -> Callable[..., Outcome]:
    """Return a handler that makes one ticket per run, and keeps what came back."""

    def handle(event: BusEvent[ResultsRecorded], effects: Effects[Any, Any]) -> Outcome:
        key = event.subject
        results.append(effects.once(f"ticket {key}", lambda: target.create(key), lambda: target.find(key)))
        return outcome or Done()

    return handle


def test_a_target_is_acted_on_once_per_key(make: Make, target: Target) -> None:
    """Later events with the same key get the first one's result, without a call."""
    results: list[Any] = []
    harness = make({ResultsRecorded: effect(ticket(target, results))})
    harness.deliver(an_event("p1"), an_event("p2"))
    assert target.created == ["run-1"]
    assert results == [{"id": "made-run-1"}] * 2
    assert target.asked == 0


def test_a_retried_event_does_not_act_again(make: Make, target: Target) -> None:
    """What was done before a Retry stays done: it is kept outside the event's own transaction."""
    results: list[Any] = []
    harness = make({ResultsRecorded: effect(ticket(target, results, Retry("something else is missing")))})
    event = an_event()
    harness.deliver(event)
    harness.deliver(event, attempt=1)
    assert target.created == ["run-1"]


def test_an_answer_that_got_lost_is_asked_for(make: Make, target: Target) -> None:
    """An unresolved intent is a question: the target is asked by its key before anything is done again."""
    results: list[Any] = []
    harness = make({ResultsRecorded: effect(ticket(target, results))})
    event = an_event()
    target.lose_answer = True
    assert isinstance(harness.deliver(event), Delay)
    target.lose_answer = False
    assert isinstance(harness.deliver(event, attempt=1), Acknowledge)
    assert target.created == ["run-1"]
    assert results == [{"id": "made-run-1"}]
    assert target.asked == 1


def test_what_never_reached_the_target_is_done_after_asking(make: Make, target: Target) -> None:
    """When the target knows nothing of an unresolved intent, the call is made after all."""
    calls = iter([ConnectionRefusedError("nobody there"), None])

    def act() -> str:
        error = next(calls)
        if error:
            raise error
        return "done"

    def handle(_event: BusEvent[ResultsRecorded], effects: Effects[Any, Any]) -> Outcome:
        return Done(effects.once("key", act, lambda: target.find("key")))

    harness = make({ResultsRecorded: effect(handle)})
    event = an_event()
    assert isinstance(harness.deliver(event), Delay)
    assert harness.deliver(event, attempt=1) == Acknowledge("done")
    assert target.asked == 1


def test_a_call_that_returns_nothing_counts_as_done(make: Make, target: Target) -> None:
    """None from the act is a result like any other."""
    acted: list[str] = []

    def handle(_event: BusEvent[ResultsRecorded], effects: Effects[Any, Any]) -> Outcome:
        assert effects.once("key", lambda: acted.append("x"), lambda: target.find("key")) is None
        return Done()

    make({ResultsRecorded: effect(handle)}).deliver(an_event("p1"), an_event("p2"))
    assert (acted, target.asked) == (["x"], 0)


def test_a_short_transaction_is_kept_whatever_the_handler_answers(make: Make) -> None:
    """An effect handler commits what it learnt, and publishes it once the event is done."""
    outcomes = iter([Retry("once more"), Done()])

    def handle(event: BusEvent[ResultsRecorded], effects: Effects[Any, Any]) -> Outcome:
        with effects.transaction() as state:
            note(state, "learnt")
            emit(state, event)
        return next(outcomes)

    harness = make({ResultsRecorded: effect(handle)})
    event = an_event()
    harness.deliver(event)
    assert (notes(harness), harness.emitted) == (["learnt"], [])
    harness.deliver(event, attempt=1)
    assert notes(harness) == ["learnt", "learnt"]
    assert len({emitted.id for emitted in harness.emitted}) == 1


def test_equal_keys_are_handled_one_after_the_other(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one worker at a time works on a key, while those of other keys are at work beside it."""
    monkeypatch.setattr(leasing, "WAIT_S", 30.0)
    at_work: list[str] = []
    together: list[list[str]] = []
    both_inside = Barrier(2, action=lambda: together.append(sorted(at_work)), timeout=30)

    def handle(event: BusEvent[ResultsRecorded], _effects: Effects[Any, Any]) -> Outcome:
        at_work.append(key_of(event))
        both_inside.wait()
        at_work.remove(key_of(event))
        both_inside.wait()
        return Done()

    def key_of(event: BusEvent[ResultsRecorded]) -> str:
        assert event.data.producer
        return event.data.producer.id[0]

    harness = make({ResultsRecorded: effect(handle, key=key_of)})
    events = [delivery(an_event(name)) for name in ("a1", "a2", "b1", "b2")]
    with ThreadPoolExecutor(4) as workers:
        settlements = list(workers.map(harness.policy.deliver, events))
    assert {type(settlement) for settlement in settlements} == {Acknowledge}
    assert [one for one in together if one] == [["a", "b"]] * 2


def test_an_event_whose_key_is_busy_waits_without_counting(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for another worker is nobody's fault."""
    monkeypatch.setattr(leasing, "WAIT_S", 0.0)
    entered, leave = Event(), Event()

    def handle(_event: BusEvent[ResultsRecorded], _effects: Effects[Any, Any]) -> Outcome:
        entered.set()
        leave.wait(30)
        return Done()

    harness = make({ResultsRecorded: effect(handle, key=lambda _event: "key")})
    with ThreadPoolExecutor(1) as worker:
        first = worker.submit(harness.policy.deliver, delivery(an_event("p1")))
        assert entered.wait(30)
        second = harness.policy.deliver(delivery(an_event("p2"), attempt=4))
        leave.set()
        assert isinstance(first.result(), Acknowledge)
    assert isinstance(second, Delay)
    assert (second.attempt, second.reason) == (4, "LeaseLostError: another worker is busy with key")


def test_a_worker_that_was_away_too_long_gives_up_its_work(make: Make) -> None:
    """Fencing: when the lease went to another meanwhile, the first one's rows are not committed."""

    def handle(_event: BusEvent[ResultsRecorded], effects: Effects[Any, Any]) -> Outcome:
        with effects.store.begin() as connection:
            leases.acquire(connection, "key", effects.clock() + 11, 10)
        return Done("too late")

    harness = make({ResultsRecorded: effect(handle, key=lambda _event: "key")})
    settlement = harness.policy.deliver(delivery(an_event()))
    assert isinstance(settlement, Delay)
    assert LeaseLostError.__name__ in settlement.reason


@pytest.mark.parametrize("taken", [True, False], ids=["taken by another", "free"])
def test_a_worker_that_stood_still_asks_before_it_goes_on(make: Make, target: Target, *, taken: bool) -> None:
    """SIGSTOP for longer than a lease: what another worker did meanwhile is not done again, what nobody did is."""
    clock = [1_800_000_000.0]

    def handle(event: BusEvent[ResultsRecorded], effects: Effects[Any, Any]) -> Outcome:
        check_leases()
        clock[0] += leasing.LEASE_S + 0.2
        if taken:
            with effects.store.begin() as connection:
                token = leases.acquire(connection, "key", clock[0], leasing.LEASE_S)
                assert token
                leases.release(connection, "key", token)
        check_leases()
        target.create(event.subject)
        return Done()

    harness = make({ResultsRecorded: effect(handle, key=lambda _event: "key")})
    settlement = replace(harness.policy, clock=lambda: clock[0]).deliver(delivery(an_event()))
    if taken:
        assert isinstance(settlement, Delay)
        assert (target.created, settlement.attempt) == ([], 0)
        assert "went to another worker while this one stood still" in settlement.reason
    else:
        assert (target.created, settlement) == (["run-1"], Acknowledge())


def test_outside_of_a_handler_nothing_is_asked() -> None:
    """`testbus check` calls targets, too, and holds nothing."""
    check_leases()


def test_leases_are_renewed_while_the_work_lasts(make: Make) -> None:
    """A handler that takes long keeps its lease, because its process renews it."""

    def handle(_event: BusEvent[ResultsRecorded], effects: Effects[Any, Any]) -> Outcome:
        later = effects.clock() + 9
        harness.policy.held.renew(effects.store, later)
        with effects.store.begin() as connection:
            assert leases.acquire(connection, "key", later + 9, 10) is None
        return Done()

    harness = make({ResultsRecorded: effect(handle, key=lambda _event: "key")})
    assert isinstance(harness.policy.deliver(delivery(an_event())), Acknowledge)


#: A worker that takes a lease, says so, and hangs.
HANGING = """
import signal, sys
from pathlib import Path
from testbus_consumers.runtime import effect
from testbus_schemas import ResultsRecorded
from tests.consumers.runtime.samples import an_event, delivery, harness_of, sample

def handle(event, effects):
    print("holding", flush=True)
    signal.pause()

handlers = {ResultsRecorded: effect(handle, key=lambda event: "key")}
harness_of(sample(handlers), Path(sys.argv[1])).policy.deliver(delivery(an_event("p1")))
"""


def test_a_killed_workers_lease_runs_out(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGKILL nobody releases the lease: the key is free again once its time is over, and not before."""
    monkeypatch.setattr(leasing, "WAIT_S", 0.0)
    worker = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert worker.stdout
    with worker, worker.stdout:
        assert worker.stdout.readline() == "holding\n"
        worker.send_signal(signal.SIGKILL)
    harness = make({ResultsRecorded: effect(lambda *_: Done("mine"), key=lambda _event: "key")})
    event = delivery(an_event("p1"))
    assert isinstance(harness.policy.deliver(event), Delay)
    later = replace(harness.policy, clock=lambda: harness.now.timestamp() + leasing.LEASE_S + 5)
    assert later.deliver(event) == Acknowledge("mine")
