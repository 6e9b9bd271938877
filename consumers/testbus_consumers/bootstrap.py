"""The composition root: from the configuration to what a worker process or the embedded bus needs."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from testbus_consumers.errors import SettingsError
from testbus_consumers.rate_limits import LocalLimits
from testbus_consumers.records.reading import Records
from testbus_consumers.runtime.breaker import Breaker
from testbus_consumers.runtime.policy import Policy
from testbus_consumers.settings import LOOPBACK
from testbus_consumers.store import open_store
from testbus_consumers.store.reader import StateReader

if TYPE_CHECKING:
    from testbus_broker.publisher import Publisher
    from testbus_consumers.rate_limits import Limits
    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import RedisSettings, Settings
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
    policy (the clock, the retry delays), as tests do.
    """
    url = state_url or settings.state_url()
    reader = StateReader(url)
    wired: dict[str, Any] = {
        "consumer": instance.consumer,
        "queue": instance.queue,
        "settings": instance.settings,
        "store": store or open_store(url, instance.queue),
        "reader": reader,
        "records": Records(reader),
        "client": instance.consumer.connect(instance.settings),
        "publisher": publisher,
        "limits": open_limits(settings.redis),
        "delay_steps": settings.broker.delay_steps,
        "delivery_limit": settings.broker.delivery_limit,
        "keep_s": timedelta(days=settings.state.keep_days).total_seconds(),
        "keep_bodies_s": timedelta(days=settings.state.keep_bodies_days).total_seconds(),
        "breaker": breaker or Breaker(instance.queue, seams.get("clock", time.time)),
    }
    return Policy(**wired | seams)


def open_limits(settings: RedisSettings) -> Limits:
    """Return the limits of this configuration; call it after any fork.

    Raises SettingsError for what is no URL of a Redis, or would show its password to the network.
    """
    if settings.url is None:
        return LocalLimits()
    url = settings.url.reveal()
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise SettingsError("redis.url is not the URL of a Redis: expected redis://… or rediss://…")
    if parts.scheme == "redis" and parts.hostname not in LOOPBACK and not settings.allow_plaintext:
        raise SettingsError(
            f"redis.url: redis:// to {parts.hostname} would show its password to the network; use rediss:// or "
            "allow_plaintext"
        )
    from testbus_consumers.shared_limits import RedisLimits  # noqa: PLC0415 the library costs time: only who has one

    return RedisLimits(url, settings.prefix)
