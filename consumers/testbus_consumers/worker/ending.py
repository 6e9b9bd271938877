"""A warm shutdown that gives back what was fetched, instead of dropping it on the broker.

Celery drops at once what its processes have not begun, and the broker counts a delivery for each such event: a worker
that is restarted often enough would have them given up. So at the first signal nothing more is consumed, what was
fetched and not begun goes to the ladder without counting, what is under way is finished, and then Celery is told to
end.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Final

from celery.worker import state

if TYPE_CHECKING:
    from types import FrameType

#: Seconds that giving back and finishing may take together before Celery ends as it does by itself.
GRACE_S: Final = 20.0

#: Signals that end a worker.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Ending:
    """Takes the first signal that ends a worker; the second one is Celery's."""

    def __init__(self, worker: Any) -> None:
        """Take over from now on; `worker` is Celery's, in the parent process and its main thread."""
        self._worker = worker
        self._theirs = {number: signal.getsignal(number) for number in _SIGNALS}
        self._begun = False
        for number in _SIGNALS:
            signal.signal(number, self._begin)

    def look(self) -> None:
        """End when that was asked for and nothing is left of what was fetched; called again and again by the valve."""
        if self._begun and not state.reserved_requests:
            self._end()

    def _begin(self, number: int, frame: FrameType | None) -> None:
        for each, handler in self._theirs.items():
            signal.signal(each, handler)
        if getattr(self._worker.consumer, "valve", None) is None:
            # Not connected: nothing was fetched that could be given back.
            theirs = self._theirs[signal.Signals(number)]
            if callable(theirs):
                theirs(number, frame)
            return
        for breaker in self._worker.app.breakers.values():
            breaker.close()
        self._begun = True
        # Whatever happens to the connection meanwhile.
        late = threading.Timer(GRACE_S, self._end)
        late.daemon = True
        late.start()

    def _end(self) -> None:
        # What Celery's own handler does: its loop ends at the next turn.
        state.should_stop = 0
