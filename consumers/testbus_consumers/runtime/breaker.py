"""Breakers: a target that is down is left alone, and asked again with one event at a time.

The state lies in memory that a worker's processes share, so that the parent, which decides about consuming, sees what
its children found. Races between children cost at most one more call to the target.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
import time
from typing import TYPE_CHECKING, Final

import structlog

from testbus_consumers.errors import BreakerOpenError, TargetDownError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = structlog.get_logger(__name__)

#: Failures in a row after which a target is left alone.
THRESHOLD: Final = 3

#: Seconds until the first probe, doubled with each that fails, up to the longest.
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 60.0

#: Shared memory: when the next probe is allowed (seconds since the epoch), failures in a row, paused by a person.
_LAYOUT: Final = struct.Struct("dII")


class Breaker:
    """What is known of one target's health, by all processes of one worker."""

    def __init__(self, name: str, clock: Callable[[], float] = time.time) -> None:
        """Begin closed; made before the fork, so that children share it. `name` is the queue's, for the log."""
        self._name = name
        self._clock = clock
        self._memory = mmap.mmap(-1, _LAYOUT.size)

    @property
    def open_until(self) -> float:
        """Return when the target may be asked again (seconds since the epoch); 0 when it is healthy."""
        return float(self._read()[0])

    @property
    def failures(self) -> int:
        """Return how many calls failed in a row."""
        return int(self._read()[1])

    @property
    def paused(self) -> bool:
        """Tell whether a person stopped this queue."""
        return bool(self._read()[2])

    @property
    def state(self) -> str:
        """Return closed, open or half-open."""
        if self.failures < THRESHOLD:
            return "closed"
        return "open" if self._clock() < self.open_until else "half-open"

    def blocked(self) -> bool:
        """Tell whether nothing may be consumed now."""
        return self.paused or self.state == "open"

    def pause(self, *, paused: bool) -> None:
        """Stop or go on, as a person said."""
        self._write(paused=paused)

    def open(self, until: float) -> None:
        """Leave the target alone until then, because another worker found it down."""
        if until > self.open_until:
            self._write(open_until=until, failures=max(self.failures, THRESHOLD))

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Call the target within this block: refused while it is down (BreakerOpenError), and learnt from otherwise."""
        if self.state == "open":
            raise BreakerOpenError(f"{self._name} is down: asked again in {self.open_until - self._clock():.0f} s")
        try:
            yield
        except TargetDownError as error:
            self._failed(str(error))
            raise
        self._succeeded()

    def _failed(self, reason: str) -> None:
        failures = self.failures + 1
        if failures < THRESHOLD:
            self._write(failures=failures)
            return
        pause = min(FIRST_PAUSE_S * 2.0 ** min(failures - THRESHOLD, 10), LONGEST_PAUSE_S)
        self._write(open_until=self._clock() + pause, failures=failures)
        log.warning("target is down", queue=self._name, failures=failures, next_probe_s=pause, reason=reason)

    def _succeeded(self) -> None:
        if self.failures >= THRESHOLD:
            log.info("target is back", queue=self._name)
        if self.failures:
            self._write(open_until=0.0, failures=0)

    def _read(self) -> tuple[float, int, int]:
        open_until, failures, paused = _LAYOUT.unpack(self._memory[:])
        return open_until, failures, paused

    def _write(
        self, *, open_until: float | None = None, failures: int | None = None, paused: bool | None = None
    ) -> None:
        until, failed, stopped = self._read()
        self._memory[:] = _LAYOUT.pack(
            until if open_until is None else open_until,
            failed if failures is None else failures,
            stopped if paused is None else int(paused),
        )
