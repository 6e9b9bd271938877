"""When a queue counts as drained."""

from __future__ import annotations

from testbus_consumers.worker.amqp_actions import HOLDS_S, LOST_SIGHT_S, SETTLED_S, DrainDetector


class Queue:
    """A queue whose depth the test knows, and a clock that stands still."""

    def __init__(self) -> None:
        """Begin empty."""
        self.now = 100.0
        self.depth = 0
        self.asked = 0
        self.drain_detector = DrainDetector(clock=lambda: self.now)

    def drained(self, after: float = 0.0) -> bool:
        """Ask, so many seconds later."""
        self.now += after
        return self.drain_detector.lasts(self._is_empty)

    def _is_empty(self) -> bool:
        self.asked += 1
        return self.depth == 0


def test_a_queue_is_drained_once_it_has_been_empty_for_a_while() -> None:
    """What was fetched just before the first look may not have been handled yet."""
    queue = Queue()
    assert not queue.drained()
    assert not queue.drained(SETTLED_S - 1)
    assert queue.drained(1)
    assert queue.drained(1)


def test_whatever_comes_in_between_begins_it_anew() -> None:
    """Also when it is gone again at the next look."""
    queue = Queue()
    queue.drained()
    queue.depth = 1
    assert not queue.drained(SETTLED_S)
    queue.depth = 0
    assert not queue.drained(1)
    assert not queue.drained(SETTLED_S - 1)
    assert queue.drained(1)


def test_an_old_look_says_nothing() -> None:
    """Between two timers that are hours apart there may have been anything."""
    queue = Queue()
    queue.drained()
    assert not queue.drained(LOST_SIGHT_S + 1)
    assert queue.drained(SETTLED_S)


def test_many_timers_ask_the_broker_once() -> None:
    """A thousand runs that are due at once cost one look."""
    queue = Queue()
    for _ in range(1000):
        queue.drained(HOLDS_S / 10_000)
    assert queue.asked == 1
