"""The leases that this process holds: renewed by its sweeper while the work lasts, looked at before each request."""

from __future__ import annotations

import contextlib
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from testbus_consumers.errors import LeaseLostError
from testbus_consumers.store import leases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from testbus_consumers.store import Store

T = TypeVar("T")

#: Seconds that a lease lasts without being renewed: how long a killed worker's work waits.
LEASE_S: Final = 10.0

#: Seconds that an event waits for another worker's lease before it is put off.
WAIT_S: Final = 2.0

#: Seconds between two tries.
POLL_S: Final = 0.05


@dataclass(kw_only=True)
class Lease(Generic[T]):
    """What one block of work holds."""

    #: What it stands for, for people.
    name: str
    #: What the database knows it by.
    token: str
    #: Where it is kept.
    store: Store
    #: Clock, in seconds since the epoch.
    clock: Callable[[], float]
    #: Until when it is surely ours, whatever the database says.
    until: float
    #: What was found in the transaction that took it.
    found: T | None = None
    #: Whether it was given up before its block ended.
    ended: bool = False

    def end(self, connection: Connection) -> None:
        """Give it up with a transaction, which nobody else acts before; LeaseLostError if another took it."""
        if not leases.release(connection, self.name, self.token):
            raise LeaseLostError(f"the lease on {self.name} went to another worker, which does this work instead")
        self.ended = True

    def check(self) -> None:
        """Raise LeaseLostError if another took it; the database is asked only when it may have run out."""
        now = self.clock()
        if now < self.until:
            return
        with self.store.begin() as connection:
            if self.token not in leases.renew(connection, (self.token,), now, LEASE_S):
                raise LeaseLostError(f"the lease on {self.name} went to another worker while this one stood still")
        self.until = now + LEASE_S


#: What the work that runs here holds.
_IN_USE: ContextVar[tuple[Lease[Any], ...]] = ContextVar("leases in use", default=())


def check_leases() -> None:
    """Raise LeaseLostError if what runs here lost a lease: a client calls this right before each request.

    A process may stand still for longer than its lease lasts (SIGSTOP, a suspended machine, a full swap). Another
    worker has done its work by then, and what this one still sends would be done twice.
    """
    for lease in _IN_USE.get():
        lease.check()


@dataclass
class Held:
    """The leases that are in use."""

    _leases: dict[str, Lease[Any]] = field(default_factory=dict)

    @contextlib.contextmanager
    def lease(
        self,
        store: Store,
        key: str,
        clock: Callable[[], float],
        *,
        find: Callable[[Connection], T | None] = lambda _: None,
    ) -> Iterator[Lease[T]]:
        """Hold the lease on a key for as long as the block runs; LeaseLostError if another does not give it up soon.

        What `find` returns, in the transaction that takes it, is the lease's `found`.
        """
        deadline = time.monotonic() + WAIT_S
        while True:
            with store.begin() as connection:
                token = leases.acquire(connection, key, now := clock(), LEASE_S)
                found = find(connection) if token else None
            if token:
                break
            if time.monotonic() > deadline:
                raise LeaseLostError(f"another worker is busy with {key}")
            time.sleep(POLL_S)
        ended = False
        try:
            with self.keeping(store, key, token, clock, taken_at=now) as lease:
                lease.found = found
                yield lease
            ended = lease.ended
        finally:
            # Also where the transaction that ended it was rolled back.
            if not ended:
                with store.begin() as connection:
                    leases.release(connection, key, token)

    @contextlib.contextmanager
    def keeping(
        self, store: Store, name: str, token: str, clock: Callable[[], float], *, taken_at: float
    ) -> Iterator[Lease[Any]]:
        """Renew what a token stands for, a lease or a taken timer, for as long as the block runs."""
        lease: Lease[Any] = Lease(name=name, token=token, store=store, clock=clock, until=taken_at + LEASE_S)
        self._leases[token] = lease
        before = _IN_USE.set((*_IN_USE.get(), lease))
        try:
            yield lease
        finally:
            _IN_USE.reset(before)
            self._leases.pop(token, None)

    def renew(self, store: Store, now: float) -> None:
        """Renew everything that is in use."""
        if in_use := dict(self._leases):
            with store.begin() as connection:
                still = leases.renew(connection, in_use, now, LEASE_S)
            for token in still:
                in_use[token].until = now + LEASE_S
