"""The clocks of a producer: read once, and then moved by a clock that no library moves for a test.

Libraries that move the time replace Python's own functions, or what is behind these: one that counts from the start of
the machine is left alone by all of them, and this module keeps the function itself.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

_clock_gettime = time.clock_gettime

#: A clock that goes on while a laptop sleeps, where there is one.
_STEADY: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: Seconds that the date's clock is ahead of the steady one.
AHEAD: Final = _clock_gettime(time.CLOCK_REALTIME) - _clock_gettime(_STEADY)


#: Returns seconds that only grow: for intervals and deadlines, whatever becomes of the date. No function of Python's,
#: for it is called for each phase of each test.
monotonic: Final = partial(_clock_gettime, _STEADY)


def now() -> float:
    """Return seconds since 1970: only for what people read, as an event's time."""
    return _clock_gettime(_STEADY) + AHEAD


def moment_of(steady: float) -> float:
    """Return when `monotonic` said this, in seconds since 1970."""
    return steady + AHEAD
