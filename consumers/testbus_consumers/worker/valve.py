"""The valve: stops a worker's consuming while its target is down, its queue paused or its end near.

After an outage it opens a little at first. It runs in the parent, which decides about consuming; the children, which
call the target, tell it through the breaker. Without it every event of a backlog would be fetched, refused and put off,
over and over.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from amqp.exceptions import NotFound  # type: ignore[import-untyped] # py-amqp ships no types
from celery.bootsteps import StartStopStep
from celery.worker.consumer.tasks import Tasks
from sqlalchemy.exc import SQLAlchemyError

from testbus_broker.topology import Subscription
from testbus_consumers.runtime.breaker import THRESHOLD
from testbus_consumers.runtime.faults import one_line
from testbus_consumers.runtime.mirror import mirror
from testbus_consumers.store import open_store

if TYPE_CHECKING:
    from testbus_consumers.runtime.breaker import Breaker

log = structlog.get_logger(__name__)

#: Seconds between two looks at the breakers.
LOOK_S: Final = 0.5

#: Seconds between two looks for a queue that does not exist.
_MISSING_S: Final = 5.0

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
        self._missing: set[str] = set()
        self._looked_at = 0.0

    def start(self, consumer: Any) -> None:
        """Begin to look; every connection begins anew, and takes nothing of a queue that was stopped before."""
        self._flow = dict.fromkeys(consumer.app.amqp.queues.consume_from, consumer.initial_prefetch_count)
        for queue in self._flow:
            _read_control(consumer.app, queue)
        self._missing = set(self._flow)
        self._looked_at = -math.inf
        self.look(consumer)
        self._timer = consumer.timer.call_repeatedly(LOOK_S, self.look, (consumer,))
        # The consumer asks for a look whenever an event arrives.
        consumer.valve = self

    def stop(self, consumer: Any) -> None:
        """Look no more."""
        consumer.valve = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self, consumer: Any) -> None:
        """Fetch as much of each queue as its breaker lets."""
        if self._missing and time.monotonic() > self._looked_at + _MISSING_S:
            self._missing = {queue for queue in self._missing if not _exists(consumer, queue)}
            self._looked_at = time.monotonic()
        for queue, flow in self._flow.items():
            full = 0 if queue in self._missing else consumer.initial_prefetch_count
            wanted = _wanted(consumer.app.breakers[queue], full)
            if wanted != flow:
                # First: changing it may hand out a message that was under way, which asks for a look too.
                self._flow[queue] = wanted
                _set_flow(consumer, queue, wanted)
        if consumer.app.ending is not None:
            consumer.app.ending.look()


def _exists(consumer: Any, queue: str) -> bool:
    """Tell whether a queue is there; to consume one that is not would end the worker."""
    try:
        with consumer.connection.channel() as channel:
            channel.queue_declare(queue, passive=True)
    except NotFound:
        log.error("the queue does not exist: run `testbus broker declare`", queue=queue, next_look_s=_MISSING_S)  # noqa: TRY400 its traceback says nothing more
        return False
    return True


def _wanted(breaker: Breaker, full: int) -> int:
    """Return how many events may be fetched ahead: none, one to try with, or all."""
    if breaker.blocked():
        return 0
    return min(PROBE, full) if breaker.failures >= THRESHOLD else full


def _set_flow(consumer: Any, queue: str, prefetch: int) -> None:
    tasks = consumer.task_consumer
    tasks.cancel_by_queue(queue)
    if prefetch:
        # Per consumer, so it holds for the one that is started next.
        tasks.qos(prefetch_count=prefetch, apply_global=False)
        tasks.add_queue(consumer.app.amqp.queues[queue])
        if tasks.on_message is not None:
            # Else the loop has not begun, and starts every consumer itself.
            tasks.consume()


def _read_control(app: Any, queue: str) -> None:
    """Learn of a pause or an outage before anything is consumed; the children's sweepers go on from there."""
    name = Subscription.from_queue(queue).name
    store = open_store(app.state_url, name)
    try:
        mirror(store, name, app.breakers[queue])
    except SQLAlchemyError as error:
        log.warning("the control row cannot be read yet", consumer=name, error=one_line(error))
    finally:
        # No connection of the parent's may be inherited by a child.
        store.close()
