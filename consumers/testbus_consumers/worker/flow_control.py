"""Flow control: a worker consumes nothing while its target is down or its queue paused, and ends in order.

After an outage it consumes a little at first. That is decided in the parent; the children, which call the target, tell
it through the breaker. Without it every event of a backlog would be fetched, refused and put off, over and over.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import billiard.pool
import billiard.popen_fork
import structlog
from amqp.exceptions import NotFound  # type: ignore[import-untyped] # py-amqp ships no types
from billiard.util import set_pdeathsig
from celery.bootsteps import StartStopStep
from celery.worker import state
from celery.worker.consumer.tasks import Tasks
from sqlalchemy.exc import SQLAlchemyError

from testbus_broker.topology import Subscription
from testbus_consumers.runtime.breaker import THRESHOLD, sync
from testbus_consumers.runtime.outcomes import one_line
from testbus_consumers.settings import PARENT_VARIABLE
from testbus_consumers.store import open_store

if TYPE_CHECKING:
    from types import FrameType

    from testbus_consumers.runtime.breaker import Breaker

#: Seconds that giving back and finishing may take together before Celery ends as it does by itself.
GRACE_S: Final = 20.0

#: Seconds within which another signal is the same one, sent to the group and passed on by a parent.
_SAME_S: Final = 3.0

#: Signals that end a worker.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

#: Signal by which Celery ends a process of its pool, instead of SIGTERM, which may come from anybody.
_POOL_SIGNAL: Final = signal.SIGQUIT


class Shutdown:
    """Takes the signals that end a worker; one that comes much later than the first is Celery's."""

    def __init__(self, worker: Any) -> None:
        """Take over from now on; `worker` is Celery's, in the parent process and its main thread."""
        self._worker = worker
        self._theirs = {number: signal.getsignal(number) for number in _SIGNALS}
        self._begun_at: float | None = None
        self._parent = parent()
        for number in _SIGNALS:
            signal.signal(number, self._signalled)

    def look(self) -> None:
        """End when that was asked for and nothing is left of what was fetched; called again and again by the valve."""
        if self._begun_at is None:
            if self._parent is not None and os.getppid() != self._parent:
                # Where the system does not tell a child of its parent's death.
                self.begin()
        elif not state.reserved_requests:
            self._end()

    def begin(self) -> None:
        """Take on nothing more, and end when what is under way is done."""
        if self._begun_at is not None:
            return
        self._begun_at = time.monotonic()
        # A thread, because a signal's handler must not write where the main thread may be writing.
        threading.Thread(target=self._watch, name="testbus-ending", daemon=True).start()
        if getattr(self._worker.consumer, "flow_control", None) is None:
            # Not connected: nothing was fetched that could be given back.
            self._end()
            return
        for breaker in self._worker.app.breakers.values():
            breaker.close()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._begun_at is None:
            self.begin()
        elif self._parent is None and time.monotonic() - self._begun_at > _SAME_S:
            # `testbus worker` kills by itself what takes too long.
            theirs = self._theirs[signal.Signals(number)]
            if callable(theirs):
                theirs(number, frame)

    def _watch(self) -> None:
        log.info("stopping", worker=str(self._worker.hostname), under_way=len(state.reserved_requests))
        # Whatever happens to the connection meanwhile.
        time.sleep(GRACE_S)
        self._end()

    def _end(self) -> None:
        # What Celery's own handler does: its loop ends at the next turn.
        state.should_stop = 0


def parent() -> int | None:
    """Return the process id of the `testbus worker` that started this worker, None for one started otherwise."""
    parent_pid = os.environ.get(PARENT_VARIABLE, "")
    return int(parent_pid) if parent_pid.isdecimal() else None


def follow_parent() -> None:
    """End when `testbus worker` does, however it ends: a worker that nobody looks after would go on unseen."""
    pid = parent()
    if pid is None:
        return
    with suppress(OSError):
        # Linux only; elsewhere `Shutdown.look` sees it.
        set_pdeathsig(signal.SIGTERM)
    if os.getppid() != pid:
        raise SystemExit(f"testbus: the worker's parent {pid} is gone")


def end_pool_by_another_signal() -> None:
    """Let Celery end a process of its pool (to shrink it, or by the time limit) without SIGTERM.

    As the environment variable REMAP_SIGTERM does, which would change what SIGTERM means to the parent, too.
    """
    billiard.popen_fork.TERM_SIGNAL = billiard.pool.TERM_SIGNAL = _POOL_SIGNAL


def leave_sigterm_to_parent() -> None:
    """Ignore SIGTERM in a process of the pool: its parent gives back and finishes in order."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def let_children_have_sigterm() -> None:
    """Go on ignoring SIGTERM in a way that programs which a handler starts do not inherit.

    Not at once: billiard replaces every handler but SIG_IGN after it has initialised a process.
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, lambda *_: None)


log = structlog.get_logger(__name__)

#: Seconds between two looks at the breakers.
LOOK_S: Final = 0.5

#: Seconds between two looks for a queue that does not exist.
_MISSING_S: Final = 5.0

#: Events that are fetched while nobody knows whether the target is back.
PROBE: Final = 1


class FlowControl(StartStopStep):  # type: ignore[misc] # Celery ships no types
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
        consumer.flow_control = self

    def stop(self, consumer: Any) -> None:
        """Look no more."""
        consumer.flow_control = None
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
        sync(store, name, app.breakers[queue])
    except SQLAlchemyError as error:
        log.warning("the control row cannot be read yet", consumer=name, error=one_line(error))
    finally:
        # No connection of the parent's may be inherited by a child.
        store.close()
