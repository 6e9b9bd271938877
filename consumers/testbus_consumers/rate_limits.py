"""Rate limits: how often something may be done, by all workers together where there is a Redis.

Nothing but politeness depends on them: without a Redis, or while it is unreachable, each process keeps the
limit by itself.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that a handler waits for its turn; what takes longer is better tried again later.
LONGEST_S: Final = 1.0

#: Keys that one process keeps in mind before it looks which of them are over.
_KEPT: Final = 1024


class Limits(Protocol):
    """Gives out turns, in the order in which they are asked for; safe to call from any thread."""

    def take(self, key: str, *, every_s: float, longest_s: float = LONGEST_S, turns: int = 1) -> float:
        """Take so many turns on a key, of which there is one every `every_s` seconds.

        Returns the seconds to wait before acting. If that is more than `longest_s`, no turn was taken: ask again after
        that time. With `turns=0` none is taken in any case.
        """
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class LocalLimits:
    """The limits of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with every turn free."""
        self._clock = clock
        self._free: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, key: str, *, every_s: float, longest_s: float = LONGEST_S, turns: int = 1) -> float:
        """Take so many turns on a key, as `Limits` has it."""
        with self._lock:
            now = self._clock()
            free = max(self._free.get(key, now), now)
            wait = free - now
            if turns and wait <= longest_s:
                if len(self._free) >= _KEPT:
                    self._free = {other: moment for other, moment in self._free.items() if moment > now}
                self._free[key] = free + every_s * turns
            return wait

    def close(self) -> None:
        """Do nothing: there is nothing open."""
