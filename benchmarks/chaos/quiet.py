"""When everything is quiet: nothing queued, delayed, under way, due or unsent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from benchmarks.chaos.deployment import DELAY_STEPS, QUEUES
from harness.private_postgresql import libpq
from testbus_broker.queues import depths
from testbus_broker.topology import Subscription
from testbus_consumers.runtime.retention import PRUNE_JOB
from testbus_consumers.store.engine import schema_name

if TYPE_CHECKING:
    from benchmarks.chaos.deployment import Deployment
    from benchmarks.chaos.sending import Sending

#: Timers that are due later than so many seconds from now are no work that is left: they tidy up, as the runtime's own
#: does again and again.
_FAR_S: Final = 3600.0

#: Seconds between two looks.
_LOOK_S: Final = 0.5

#: What a queue's schema must not hold.
_LEFT: Final = {
    "unsent events": "SELECT count(*) FROM {}.testbus_outbox",
    "timers": "SELECT count(*) FROM {}.testbus_job WHERE status = 'waiting' AND due_at < %(far)s AND name <> %(own)s",
    "retries": "SELECT count(*) FROM {}.testbus_delivery WHERE status = 'retrying'",
}


@dataclass(frozen=True)
class Silence:
    """The end of a load."""

    #: When it was quiet, or given up, in monotonic seconds.
    at: float
    #: What was still under way when the time was over, for people: it may never end.
    left: list[str]


def wait(deployment: Deployment, sending: Sending, timeout: float) -> Silence:
    """Wait until everything is quiet, for at most `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        since = time.monotonic()
        left = _left(deployment, sending)
        if not left:
            time.sleep(_LOOK_S)
            left = _left(deployment, sending) or _unacknowledged(deployment)
            if not left:
                return Silence(since, [])
        if time.monotonic() > deadline:
            return Silence(since, left)
        time.sleep(_LOOK_S)


def dead_letters(deployment: Deployment) -> dict[str, int]:
    """Return how many dead letters each queue has, of those that have some."""
    names = {Subscription(name=queue).dead: queue for queue in QUEUES}
    found = depths(deployment.amqp_url, names)
    return {names[name]: depth.messages for name, depth in found.items() if depth and depth.messages}


def _left(deployment: Deployment, sending: Sending) -> list[str]:
    """Return what is still under way, for people, as far as can be asked cheaply."""
    if not sending.done:
        return ["the load is not sent"]
    left = []
    subscriptions = [Subscription(name=queue) for queue in QUEUES]
    delays = [one.delay(step) for one in subscriptions if not one.takes_requests for step in DELAY_STEPS]
    names = [*(one.queue for one in subscriptions), *delays]
    for name, depth in depths(deployment.amqp_url, names).items():
        if depth is None or depth.messages:
            left.append(f"{name}: {'missing' if depth is None else depth.messages}")
    with psycopg.connect(libpq(deployment.database_url)) as connection:
        for queue in QUEUES:
            for what, query in _LEFT.items():
                asked = sql.SQL(query).format(sql.Identifier(schema_name(queue)))
                row = connection.execute(asked, {"far": time.time() + _FAR_S, "own": PRUNE_JOB}).fetchone()
                if row and row[0]:
                    left.append(f"{row[0]} {what} of {queue}")
    return left


def _unacknowledged(deployment: Deployment) -> list[str]:
    """Return the queues that hold messages, those under way included; asking costs a second of a processor."""
    told = deployment.rabbitmq.control("list_queues", "name", "messages", "--no-table-headers")
    rows = (line.split("\t") for line in told.splitlines() if "\t" in line)
    return [f"{name}: {count} under way" for name, count in rows if ".dlq." not in name and _waits(name, count)]


def _waits(name: str, count: str) -> bool:
    return count != "0" and not name.endswith(".stream")
