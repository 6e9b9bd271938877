"""Looking into an embedded home without draining it: works beside a process that does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from testbus_broker.event_log import EventLog
from testbus_broker.publisher import open_publisher
from testbus_consumers import registry
from testbus_consumers.bootstrap import build_policy
from testbus_consumers.embedded.bus import open_state, state_url
from testbus_consumers.embedded.lane import Backlog, Lane
from testbus_consumers.errors import ConsumerError
from testbus_consumers.runtime.delivery import Answer, Delivery
from testbus_schemas import VerdictRequested, encode, produced

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from testbus_consumers.settings import Settings
    from testbus_schemas import RunContext


def read_verdict(settings: Settings, home: Path, context: RunContext) -> dict[str, Any]:
    """Return what `gates` knows of a run: `status` (`pending` or `decided`), `run` and `evaluation`."""
    (gates,) = registry.find(settings, "gates")
    publisher = open_publisher(f"file://{home}")
    policy = build_policy(gates, settings, publisher, store=open_state(home, gates), state_url=state_url(home))
    encoded = encode(produced(VerdictRequested(context=context)))
    request = Delivery(body=encoded.body, content_encoding=encoded.content_encoding, routing_key=None)
    try:
        settlement = policy.deliver(request)
    finally:
        policy.close()
        publisher.close(0)
    if not isinstance(settlement, Answer):
        raise ConsumerError(f"gates did not answer: {settlement}")
    answer: dict[str, Any] = json.loads(settlement.body)
    return answer


def read_backlog(settings: Settings, home: Path) -> Mapping[str, Backlog]:
    """Return what is left to do, by queue, as if nobody were at work."""
    publisher = open_publisher(f"file://{home}")
    found = {}
    for instance in registry.instances(settings):
        store = open_state(home, instance)
        policy = build_policy(instance, settings, publisher, store=store, state_url=state_url(home))
        found[instance.queue] = Lane(instance.subscription, policy, EventLog(home)).backlog()
        policy.close()
    publisher.close(0)
    return found
