"""A target that is down is left alone, and asked again with one event at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from testbus_consumers.errors import BreakerOpenError, TargetDownError
from testbus_consumers.runtime.breaker import FIRST_PAUSE_S, LONGEST_PAUSE_S, THRESHOLD, Breaker, sync
from testbus_consumers.store import control, open_store
from testbus_consumers.store.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        """Begin at some moment."""
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the moment."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that the test moves."""
    return Clock()


def call(breaker: Breaker, *, up: bool) -> None:
    """Call a target that is up or down."""
    with breaker.guard():
        if not up:
            raise TargetDownError("refused")


def fail(breaker: Breaker, times: int) -> None:
    """Call a target that is down."""
    for _ in range(times):
        with pytest.raises(TargetDownError):
            call(breaker, up=False)


def test_a_few_failures_in_a_row_open_it(clock: Callable[[], float]) -> None:
    """A single failure is no outage; several are, and then the target is not called any more."""
    breaker = Breaker("portal", clock)
    fail(breaker, THRESHOLD - 1)
    call(breaker, up=True)
    fail(breaker, THRESHOLD - 1)
    assert breaker.state == "closed"
    fail(breaker, 1)
    assert breaker.state == "open"
    with pytest.raises(BreakerOpenError, match="asked again in 5 s"):
        call(breaker, up=True)


def test_probes_become_rarer_until_one_succeeds(clock: Clock) -> None:
    """Each failed probe doubles the pause, up to a bound; the first success closes."""
    breaker = Breaker("portal", clock)
    fail(breaker, THRESHOLD)
    pauses = []
    for _ in range(6):
        pauses.append(breaker.open_until - clock.now)
        clock.now = breaker.open_until
        assert breaker.state == "half-open"
        fail(breaker, 1)
    assert pauses == [FIRST_PAUSE_S, 10, 20, 40, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    clock.now = breaker.open_until
    call(breaker, up=True)
    assert (breaker.state, breaker.failures) == ("closed", 0)


def test_a_fault_of_the_handler_says_nothing_about_the_target(clock: Callable[[], float]) -> None:
    """Only a target that is down counts."""
    breaker = Breaker("portal", clock)
    for _ in range(2 * THRESHOLD):
        with pytest.raises(ZeroDivisionError), breaker.guard():
            _ = 1 / 0
    assert breaker.state == "closed"


def test_parent_and_children_share_it(clock: Callable[[], float]) -> None:
    """What a forked child finds out, its parent sees."""
    breaker = Breaker("portal", clock)
    child = os.fork()
    if not child:
        fail(breaker, THRESHOLD)
        os._exit(0)
    os.waitpid(child, 0)
    assert breaker.state == "open"


def test_a_pause_blocks_a_healthy_queue(clock: Clock) -> None:
    """A person's pause and an outage are told apart; one for a while ends by itself."""
    breaker = Breaker("portal", clock)
    breaker.pause(None)
    assert breaker.blocked()
    assert (breaker.state, breaker.held_back()) == ("closed", "the queue is paused")
    breaker.resume()
    assert not breaker.blocked()
    breaker.pause(clock.now + 60)
    assert breaker.blocked()
    clock.now += 60
    assert not breaker.blocked()
    assert breaker.held_back() == ""


def test_workers_elsewhere_learn_of_an_outage_and_of_its_end(clock: Clock, tmp_path: Path) -> None:
    """By the control row: the one that hears of it makes no call of its own, and goes on when the other's succeeds."""
    store = open_store(f"sqlite:///{tmp_path}", "portal")
    upgrade(store, None)
    here, there = Breaker("portal", clock), Breaker("portal", clock)
    fail(here, THRESHOLD)
    for breaker in (here, there):
        sync(store, "portal", breaker)
    assert (there.state, there.open_until, there.health.reason) == ("open", here.open_until, "refused")
    clock.now = here.open_until
    call(here, up=True)
    for breaker in (here, there):
        sync(store, "portal", breaker)
    assert (there.state, there.failures) == ("closed", 0)
    store.close()


def test_a_worker_that_reaches_the_target_believes_itself(clock: Clock, tmp_path: Path) -> None:
    """A host whose own way to the target is broken stops nobody whose way is not."""
    store = open_store(f"sqlite:///{tmp_path}", "portal")
    upgrade(store, None)
    cut_off, well = Breaker("portal", clock), Breaker("portal", clock)
    fail(cut_off, THRESHOLD)
    sync(store, "portal", cut_off)
    clock.now += 1
    call(well, up=True)
    sync(store, "portal", well)
    assert well.state == "closed"
    store.close()


def test_a_new_worker_begins_with_what_is_known(clock: Clock, tmp_path: Path) -> None:
    """After a restart in the middle of an outage or a pause nothing is consumed to find that out again."""
    store = open_store(f"sqlite:///{tmp_path}", "portal")
    upgrade(store, None)
    before = Breaker("portal", clock)
    fail(before, THRESHOLD)
    sync(store, "portal", before)
    with store.begin() as connection:
        control.stop(connection, "portal", control.Pause(since=clock.now, by="ann@ops", reason="disk", until=None))
    after = Breaker("portal", clock)
    sync(store, "portal", after)
    assert (after.paused, after.state) == (True, "open")
    with store.begin() as connection:
        control.go_on(connection)
    sync(store, "portal", after)
    assert (after.paused, after.state) == (False, "open")
    store.close()
