"""The clocks of a producer: read once, and then moved by a clock that no library moves for a test.

Libraries that move the time replace Python's own functions, or what is behind these: one that counts from the start of
the machine is left alone by all of them, and this module keeps the function itself.
"""

from __future__ import annotations

import time
from typing import Final

_clock_gettime = time.clock_gettime

#: A clock that goes on while a laptop sleeps, where there is one.
_STEADY: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: What the date's clock is ahead of the steady one.
_AHEAD: Final = _clock_gettime(time.CLOCK_REALTIME) - _clock_gettime(_STEADY)


def monotonic() -> float:
    """Return seconds that only grow: for intervals and deadlines, whatever becomes of the date."""
    return _clock_gettime(_STEADY)


def now() -> float:
    """Return seconds since 1970: only for what people read, as an event's time."""
    return _clock_gettime(_STEADY) + _AHEAD


def moment_of(steady: float) -> float:
    """Return when `monotonic` said this, in seconds since 1970."""
    return steady + _AHEAD
