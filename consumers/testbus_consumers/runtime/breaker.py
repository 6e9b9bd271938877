"""Breakers: a target that is down is left alone, and asked again with one event at a time.

The state lies in memory that a worker's processes share, so that the parent, which decides about consuming, sees what
its children found. Races between children cost at most one more call to the target. What other hosts know, and what a
person said, comes by way of the control row (see `sync`).
"""

from __future__ import annotations

import contextlib
import math
import mmap
import struct
import time
from typing import TYPE_CHECKING, Final

import structlog

from testbus_consumers.errors import BreakerOpenError, TargetDownError
from testbus_consumers.store import control
from testbus_consumers.store.control import Health

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbus_consumers.store import Store

log = structlog.get_logger(__name__)

#: Failures in a row after which a target is left alone.
THRESHOLD: Final = 3

#: Seconds until the first probe, doubled with each that fails, up to the longest.
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 60.0

#: Places in the shared memory, of 8 bytes each. Each is written by itself, so that nobody undoes another's word.
_OPEN_UNTIL: Final = 0
_FAILURES: Final = 8
_CHANGED_AT: Final = 16
_SUCCEEDED_AT: Final = 24
_PAUSED_UNTIL: Final = 32
_CLOSING: Final = 40

#: Place and bytes of what the last failure said, and how long that is.
_REASON_SIZE: Final = 48
_REASON: Final = 56
_REASON_BYTES: Final = 400

_DOUBLE: Final = struct.Struct("d")


class Breaker:
    """What is known of one target's health, and whether its queue is stopped, by all processes of one worker."""

    def __init__(self, name: str, clock: Callable[[], float] = time.time) -> None:
        """Begin closed; made before the fork, so that children share it. `name` is the queue's, for the log."""
        self._name = name
        self._clock = clock
        self._memory = mmap.mmap(-1, _REASON + _REASON_BYTES)

    @property
    def open_until(self) -> float:
        """Return when the target may be asked again (seconds since the epoch); 0 when it is healthy."""
        return self._get(_OPEN_UNTIL)

    @property
    def failures(self) -> int:
        """Return how many calls failed in a row."""
        return int(self._get(_FAILURES))

    @property
    def paused(self) -> bool:
        """Tell whether a person stopped this queue."""
        return self._clock() < self._get(_PAUSED_UNTIL)

    @property
    def is_ending(self) -> bool:
        """Tell whether this worker is about to end."""
        return bool(self._get(_CLOSING))

    @property
    def state(self) -> str:
        """Return closed, open or half-open."""
        return state_of(self.failures, self.open_until, self._clock())

    @property
    def health(self) -> Health:
        """Return what this worker knows of the target."""
        size = int(self._get(_REASON_SIZE))
        return Health(
            failures=self.failures,
            open_until=self.open_until,
            reason=self._memory[_REASON : _REASON + size].decode("utf-8", "replace"),
            changed_at=self._get(_CHANGED_AT),
        )

    def blocked(self) -> bool:
        """Tell whether nothing may be consumed now."""
        return self.paused or self.is_ending or self.state == "open"

    def held_back(self) -> str:
        """Return why an event that was fetched already is put off, whatever its target does; "" when it is not."""
        if self.paused:
            return "the queue is paused"
        return "its worker is about to end" if self.is_ending else ""

    def pause(self, until: float | None) -> None:
        """Stop until then (seconds since the epoch), or until `resume`."""
        self._set(_PAUSED_UNTIL, math.inf if until is None else until)

    def resume(self) -> None:
        """Go on."""
        self._set(_PAUSED_UNTIL, 0.0)

    def close(self) -> None:
        """Let this worker take on nothing more."""
        self._set(_CLOSING, 1.0)

    def hear(self, learned: Health) -> None:
        """Take over what another worker found out later; but a target that has just answered us is not down for us."""
        if learned.changed_at <= max(self._get(_CHANGED_AT), self._get(_SUCCEEDED_AT)):
            return
        self._share(learned.open_until, learned.failures, learned.reason, learned.changed_at)

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
        if self.state == "open":
            # A call that began before another one found the target down: it says nothing new.
            return
        failures = self.failures + 1
        if failures < THRESHOLD:
            self._set(_FAILURES, failures)
            return
        pause = min(FIRST_PAUSE_S * 2.0 ** min(failures - THRESHOLD, 10), LONGEST_PAUSE_S)
        now = self._clock()
        self._share(now + pause, failures, reason, now)
        log.warning("target is down", consumer=self._name, failures=failures, next_probe_s=pause, reason=reason)

    def _succeeded(self) -> None:
        now = self._clock()
        self._set(_SUCCEEDED_AT, now)
        if self.failures >= THRESHOLD:
            self._share(0.0, 0, "", now)
            log.info("target is back", consumer=self._name)
        elif self.failures:
            self._set(_FAILURES, 0)

    def _share(self, open_until: float, failures: int, reason: str, at: float) -> None:
        encoded = reason.encode("utf-8", "replace")[:_REASON_BYTES]
        self._memory[_REASON : _REASON + len(encoded)] = encoded
        self._set(_REASON_SIZE, len(encoded))
        self._set(_OPEN_UNTIL, open_until)
        self._set(_FAILURES, failures)
        self._set(_CHANGED_AT, at)

    def _get(self, place: int) -> float:
        return float(_DOUBLE.unpack_from(self._memory, place)[0])

    def _set(self, place: int, value: float) -> None:
        _DOUBLE.pack_into(self._memory, place, value)


def state_of(failures: int, open_until: float, now: float) -> str:
    """Return what a breaker is with these failures: closed, open, or half-open (it may be tried with one event)."""
    if failures < THRESHOLD:
        return "closed"
    return "open" if now < open_until else "half-open"


#: Seconds between two looks at the row.
SYNC_S: Final = 1.0


def sync(store: Store, queue: str, breaker: Breaker) -> None:
    """Obey what a person said, learn what other workers found out, and tell them what this one did.

    Nothing that must be right depends on it: a worker that cannot read the row goes by what it knows itself.
    """
    known = breaker.health
    with store.begin() as connection:
        row = control.read(connection)
        if row is None:
            control.begin(connection, queue)
        if known.changed_at > (row.health.changed_at if row else 0.0):
            control.report(connection, queue, known)
    if row is None:
        return
    if row.pause is None:
        breaker.resume()
    else:
        breaker.pause(row.pause.until)
    breaker.hear(row.health)
