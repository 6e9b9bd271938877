"""A warm shutdown that gives back what was fetched, instead of dropping it on the broker.

Celery drops at once what its processes have not begun, and the broker counts a delivery for each such event: a worker
that is restarted often enough would have them given up. So at the first signal nothing more is consumed, what was
fetched and not begun goes to the ladder without counting, what is under way is finished, and then Celery is told to
end.

A signal often comes to a whole process group: Ctrl-C in a terminal, SIGTERM from systemd. So the pool's processes leave
SIGTERM to their parent, as Celery does with SIGINT, and a worker that hears of its end twice ends once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import billiard.pool
import billiard.popen_fork
import structlog
from billiard.util import set_pdeathsig
from celery.worker import state

from testbus_consumers.settings import PARENT_VARIABLE

if TYPE_CHECKING:
    from types import FrameType

log = structlog.get_logger(__name__)

#: Seconds that giving back and finishing may take together before Celery ends as it does by itself.
GRACE_S: Final = 20.0

#: Seconds within which another signal is the same one, sent to the group and passed on by a parent.
_SAME_S: Final = 3.0

#: Signals that end a worker.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

#: Signal by which Celery ends a process of its pool, instead of SIGTERM, which may come from anybody.
_POOL_SIGNAL: Final = signal.SIGQUIT


class Ending:
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
        if getattr(self._worker.consumer, "valve", None) is None:
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
    told = os.environ.get(PARENT_VARIABLE, "")
    return int(told) if told.isdecimal() else None


def follow_parent() -> None:
    """End when `testbus worker` does, however it ends: a worker that nobody looks after would go on unseen."""
    pid = parent()
    if pid is None:
        return
    with suppress(OSError):
        # Linux only; elsewhere `Ending.look` sees it.
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
