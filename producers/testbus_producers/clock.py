"""The clocks of a producer, asked of the system: libraries that move the time for a test replace Python's own."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Return seconds that only grow: for intervals and deadlines, whatever becomes of the date."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def now() -> float:
    """Return seconds since 1970: only for what people read, as an event's time."""
    return time.clock_gettime(time.CLOCK_REALTIME)
