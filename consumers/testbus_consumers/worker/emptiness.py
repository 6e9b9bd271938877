"""When a queue counts as drained: nothing is ready in it, and what its workers had fetched has been dealt with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that a queue has to have been empty: so long what was fetched just before may take to be handled.
SETTLED_S: Final = 5.0

#: Seconds for which an answer holds: the broker is not asked for every timer that is due.
HOLDS_S: Final = 0.5

#: Seconds between two looks after which nobody knows what was in between.
LOST_SIGHT_S: Final = 15.0


@dataclass(kw_only=True)
class Emptiness:
    """Remembers since when a queue has been seen empty.

    The broker counts only what is ready. A worker that starts after an outage has fetched a backlog in no time, so
    that an empty queue alone would show a silence that is none. For one thread.
    """

    #: Clock, in seconds.
    clock: Callable[[], float] = time.monotonic
    _since: float | None = field(default=None, init=False)
    _looked_at: float | None = field(default=None, init=False)

    def lasts(self, is_empty: Callable[[], bool]) -> bool:
        """Tell whether the queue has been empty for long enough; `is_empty` asks the broker."""
        now = self.clock()
        if self._looked_at is not None and now - self._looked_at > LOST_SIGHT_S:
            self._since = None
        if self._looked_at is None or now - self._looked_at >= HOLDS_S:
            empty = is_empty()
            self._looked_at = now
            if not empty:
                self._since = None
            elif self._since is None:
                self._since = now
        return self._since is not None and now - self._since >= SETTLED_S
