"""The threads that look after one queue in each of its worker processes: timers, leases, stragglers."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from testbus_broker.errors import BrokerError
from testbus_consumers.errors import ConsumerError
from testbus_consumers.runtime import metrics, retention
from testbus_consumers.runtime.breaker import SYNC_S, sync
from testbus_consumers.runtime.leases import LEASE_S
from testbus_consumers.runtime.outcomes import one_line
from testbus_consumers.runtime.timers import run_due
from testbus_consumers.store.outbox import publish_stragglers

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.runtime.delivery import DeliveryActions
    from testbus_consumers.runtime.policy import Policy

log = structlog.get_logger(__name__)

#: Seconds between two looks at the timers. Every process of every worker looks: what is due at once, because of what
#: this process did, wakes it earlier.
SWEEP_S: Final = 1.0

#: Seconds after which an unconfirmed derived event counts as left behind.
STRAGGLER_S: Final = 30.0

#: Seconds between two looks for such ones.
STRAGGLERS_LOOK_S: Final = 10.0


class Sweeper:
    """Runs one queue's timers; any number of them may run for one queue."""

    def __init__(self, policy: Policy, actions: DeliveryActions) -> None:
        """Look after the queue of the policy."""
        self._policy = policy
        self._actions = actions
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._begun = False
        self._stragglers_at = 0.0

    def start(self) -> None:
        """Begin, in daemon threads: leases are renewed, and a pause is heard, even while a timer's work takes long."""
        for name, step in (("sweep", self._sweep), ("renew", self._renew), ("sync", self._sync)):
            thread = threading.Thread(
                target=self._loop, args=(step,), name=f"testbus-{name}-{self._policy.queue}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self, timeout: float) -> None:
        """Finish what is under way, for at most `timeout` seconds a thread."""
        self._stopped.set()
        self._policy.woken.set()
        for thread in self._threads:
            thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Tell whether every thread is at work."""
        return all(thread.is_alive() for thread in self._threads)

    def _loop(self, step: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            try:
                step()
            except (BrokerError, ConsumerError, SQLAlchemyError) as error:
                log.warning("sweep failed, goes on", consumer=self._policy.queue, error=one_line(error))
                self._stopped.wait(SWEEP_S)

    def _sweep(self) -> None:
        if not self._begun:
            retention.begin(self._policy)
            self._begun = True
        self._policy.woken.wait(SWEEP_S)
        self._policy.woken.clear()
        metrics.breaker(self._policy.queue, self._policy.breaker.state)
        while not self._stopped.is_set() and run_due(self._policy, self._actions):
            pass
        if time.monotonic() >= self._stragglers_at:
            publish_stragglers(self._policy.store, self._policy.publisher, self._policy.clock() - STRAGGLER_S)
            self._stragglers_at = time.monotonic() + STRAGGLERS_LOOK_S

    def _sync(self) -> None:
        sync(self._policy.store, self._policy.queue, self._policy.breaker)
        self._stopped.wait(SYNC_S)

    def _renew(self) -> None:
        self._stopped.wait(LEASE_S / 4)
        self._policy.held.renew(self._policy.store, self._policy.clock())
