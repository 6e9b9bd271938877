"""The leases that this process holds: renewed by its sweeper while the work lasts."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from testbus_consumers.errors import LeaseLostError
from testbus_consumers.store import leases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbus_consumers.store import Store

#: Seconds that a lease lasts without being renewed: how long a killed worker's work waits.
LEASE_S: Final = 10.0

#: Seconds that an event waits for another worker's lease before it is put off.
WAIT_S: Final = 2.0

#: Seconds between two tries.
POLL_S: Final = 0.05


class Held:
    """The tokens of leases in use."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._tokens: set[str] = set()

    @contextlib.contextmanager
    def lease(self, store: Store, key: str, clock: Callable[[], float]) -> Iterator[str]:
        """Hold the lease on a key for as long as the block runs; LeaseLostError if another does not give it up soon."""
        deadline = time.monotonic() + WAIT_S
        while True:
            with store.begin() as connection:
                token = leases.acquire(connection, key, clock(), LEASE_S)
            if token:
                break
            if time.monotonic() > deadline:
                raise LeaseLostError(f"another worker is busy with {key}")
            time.sleep(POLL_S)
        try:
            with self.keeping(token):
                yield token
        finally:
            with store.begin() as connection:
                leases.release(connection, key, token)

    @contextlib.contextmanager
    def keeping(self, token: str) -> Iterator[None]:
        """Renew what a token stands for, a lease or a taken timer, for as long as the block runs."""
        self._tokens.add(token)
        try:
            yield
        finally:
            self._tokens.discard(token)

    def renew(self, store: Store, now: float) -> None:
        """Renew everything that is in use."""
        if tokens := tuple(self._tokens):
            with store.begin() as connection:
                leases.renew(connection, tokens, now, LEASE_S)
