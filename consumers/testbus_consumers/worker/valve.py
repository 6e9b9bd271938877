"""The valve: stops a worker's consuming while its target is down, and opens it again a little at first.

Runs in the parent, which decides about consuming; the children, which call the target, tell it through the breaker.
Without this every event of a backlog would be fetched, refused and put off, over and over.
"""

from __future__ import annotations

from typing import Any, Final

from celery.bootsteps import StartStopStep
from celery.worker.consumer.tasks import Tasks

from testbus_consumers.runtime.breaker import THRESHOLD, Breaker

#: Seconds between two looks at the breakers.
LOOK_S: Final = 0.5

#: Events that are fetched while nobody knows whether the target is back.
PROBE: Final = 1


class Valve(StartStopStep):  # type: ignore[misc] # Celery ships no types
    """Celery's boot step that polls the breakers of this worker's queues."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        """Begin with every queue consumed in full."""
        super().__init__(consumer, **kwargs)
        self._timer: Any = None
        self._flow: dict[str, int] = {}

    def start(self, consumer: Any) -> None:
        """Begin to look; every connection begins anew."""
        self._flow = dict.fromkeys(consumer.app.amqp.queues.consume_from, consumer.initial_prefetch_count)
        self._timer = consumer.timer.call_repeatedly(LOOK_S, self._look, (consumer,))

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 Celery's signature
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, consumer: Any) -> None:
        for queue, flow in self._flow.items():
            wanted = _wanted(consumer.app.breakers[queue], consumer.initial_prefetch_count)
            if wanted != flow:
                _set_flow(consumer, queue, wanted)
                self._flow[queue] = wanted


def _wanted(breaker: Breaker, full: int) -> int:
    """Return how many events may be fetched ahead: none, one to try with, or all."""
    if breaker.blocked():
        return 0
    return PROBE if breaker.failures >= THRESHOLD else full


def _set_flow(consumer: Any, queue: str, prefetch: int) -> None:
    tasks = consumer.task_consumer
    if tasks.consuming_from(queue):
        tasks.cancel_by_queue(queue)
    if prefetch:
        # Per consumer, so it holds for the one that is started next.
        tasks.qos(prefetch_count=prefetch, apply_global=False)
        tasks.add_queue(consumer.app.amqp.queues[queue])
        tasks.consume()
