"""The composition root: from the configuration to what a worker process or the embedded bus needs."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from testbus_consumers.rate_limits import open_limits
from testbus_consumers.records.reading import Records
from testbus_consumers.runtime.breaker import Breaker
from testbus_consumers.runtime.policy import Policy
from testbus_consumers.store import open_store
from testbus_consumers.store.reader import StateReader

if TYPE_CHECKING:
    from testbus_broker.publisher import Publisher
    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import Settings
    from testbus_consumers.store import Store


def build_policy(
    instance: Instance,
    settings: Settings,
    publisher: Publisher,
    *,
    store: Store | None = None,
    breaker: Breaker | None = None,
    state_url: str | None = None,
    **seams: Any,
) -> Policy:
    """Wire one queue: its consumer, settings, state and target's client.

    Called after any fork; a `breaker` that several processes share is made before it. `seams` replaces fields of the
    policy (the clock, the ladder), as tests do.
    """
    url = state_url or settings.state_url()
    wired: dict[str, Any] = {
        "consumer": instance.consumer,
        "queue": instance.queue,
        "settings": instance.settings,
        "store": store or open_store(url, instance.queue),
        "records": Records(StateReader(url)),
        "client": instance.consumer.connect(instance.settings),
        "publisher": publisher,
        "limits": open_limits(settings.redis),
        "delay_steps": settings.broker.delay_steps,
        "delivery_limit": settings.broker.delivery_limit,
        "keep_s": timedelta(days=settings.state.keep_days).total_seconds(),
        "breaker": breaker or Breaker(instance.queue, seams.get("clock", time.time)),
    }
    return Policy(**wired | seams)
