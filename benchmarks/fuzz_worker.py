"""Messages that nobody would send, through real Celery workers on a real RabbitMQ, with books that have to balance.

Each message is found again: among the dead letters by its body, or in the ledger by the id of its event.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from benchmarks.fuzz_messages import planned
from harness import services
from harness.deployment import Deployment
from harness.support import wait_until
from testbus_broker.connection import connected
from testbus_broker.errors import ConnectionLostError
from testbus_broker.message import ERROR
from testbus_broker.queues import depths
from testbus_consumers import registry, settings
from testbus_consumers.store import deliveries, open_store
from testbus_consumers.store.tables import DELIVERY
from testbus_schemas import SchemaError, decode

if TYPE_CHECKING:
    from testbus_broker.topology import Subscription

#: Queues whose workers are fuzzed.
QUEUES = ("runs", "gates")

#: Seconds within which a worker deals with one message, on a busy machine, retries included.
EACH_S = 0.5

#: Seconds beyond that: all retry delays, and the start.
LADDER_S = 120.0

#: What Celery logs when one of its processes ends over a message.
CRASHES = ("WorkerLostError", "exited with", "Traceback (most recent call last)", "Unrecoverable error")


@dataclass(kw_only=True)
class Through:
    """What became of the messages, by queue and body's digest."""

    #: What was confirmed to each queue.
    sent: dict[str, dict[str, bytes]] = field(default_factory=dict)
    #: What lies among each queue's dead letters, with its reason.
    dead: dict[str, dict[str, str]] = field(default_factory=dict)
    #: What each queue's ledger says it has handled.
    handled: dict[str, set[str]] = field(default_factory=dict)
    #: Messages that the broker itself did not take.
    refused: int = 0
    #: Lines in the workers' logs that tell of a crash.
    crashes: list[str] = field(default_factory=list)

    @property
    def lost(self) -> list[bytes]:
        """Return the bodies that are in neither."""
        return [
            body
            for queue, bodies in self.sent.items()
            for digest, body in bodies.items()
            if digest not in self.dead[queue] and digest not in self.handled[queue]
        ]

    @property
    def adds_up(self) -> bool:
        """Tell whether each message is handled or dead with a reason, none both, and nobody crashed."""
        both = any(self.dead[queue].keys() & self.handled[queue] for queue in self.sent)
        without = any(not reason for reasons in self.dead.values() for reason in reasons.values())
        return not (self.lost or both or without or self.crashes)

    def counts(self) -> dict[str, int]:
        """Return the books."""
        return {
            "messages": sum(map(len, self.sent.values())),
            "handled": sum(map(len, self.handled.values())),
            "dead_lettered": sum(map(len, self.dead.values())),
            "lost": len(self.lost),
            "refused_by_broker": self.refused,
            "worker_crashes": len(self.crashes),
        }


def through_a_worker(messages: int, seed: int) -> Through:
    """Send so many messages to real workers, and return what became of each once the queues are empty."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="testbus-fuzz-")))
        for name in ("rabbitmq", "postgresql"):
            (folder / name).mkdir()
        url = stack.enter_context(services.rabbitmq(folder / "rabbitmq"))
        database = stack.enter_context(services.database(folder / "postgresql"))
        return fuzzed(folder, url, database, messages, seed)


def fuzzed(folder: Path, url: str, database: str, messages: int, seed: int) -> Through:
    """Do so in a folder, with a broker and a database of one's own."""
    found = Through()
    deployment = Deployment(folder=folder, amqp_url=url, database_url=database, portals=(), slack=False, started=False)
    with deployment:
        subscriptions = {
            one.queue: one.subscription
            for one in registry.instances(settings.load(deployment.config))
            if one.queue in QUEUES
        }
        for queue in QUEUES:
            deployment.start(queue)
        _send(url, messages, seed, subscriptions, found)
        patience = LADDER_S + EACH_S * messages
        wait_until(lambda: all(_idle(url, one) for one in subscriptions.values()), patience, "the queues are empty")
        for queue, subscription in subscriptions.items():
            # What is under way when a queue looks empty has its outcome a moment later.
            wait_until(lambda q=queue, s=subscription: _settled(url, database, q, s, found), 60, f"{queue} has settled")  # type: ignore[misc]
        for queue in QUEUES:
            log = (folder / f"worker-{queue}.log").read_text(encoding="utf-8", errors="replace")
            # Our own lines are JSON; what Celery says of a crash is not.
            plain = (line for line in log.splitlines() if not line.startswith("{"))
            found.crashes += [line for line in plain if any(word in line for word in CRASHES)]
    return found


def _idle(url: str, subscription: Subscription) -> bool:
    names = [subscription.queue, *(subscription.delay(seconds) for seconds in (1, 2, 3, 5))]
    return all(depth is not None and not depth.messages for depth in depths(url, names).values())


def _settled(url: str, database: str, queue: str, subscription: Subscription, found: Through) -> bool:
    """Look at dead letters and ledger; True once nothing of what was sent is missing (or nothing ever comes)."""
    sent = found.sent[queue]
    # A decision that could not be acted upon is given up as an event, and not as the bytes that came.
    by_event = {event: digest for digest, body in sent.items() if (event := _event_id(body))}
    letters = (
        (digest if digest in sent else by_event.get(event or ""), reason)
        for digest, event, reason in _reasons(url, subscription)
    )
    found.dead[queue] = {digest: reason for digest, reason in letters if digest}
    store = open_store(database, queue)
    try:
        with store.begin() as connection:
            rows = connection.execute(select(DELIVERY.c.event_id, DELIVERY.c.status)).all()
    finally:
        store.close()
    final = {row.event_id for row in rows if deliveries.Status(row.status).final}
    found.handled[queue] = {digest for digest, body in sent.items() if _event_id(body) in final}
    return len(found.dead[queue]) + len(found.handled[queue]) >= len(sent)


def _reasons(url: str, subscription: Subscription) -> list[tuple[str, str | None, str]]:
    """Return of each dead letter what its body is known by, the event in it, and why it was given up; they stay."""
    found: list[tuple[str, str | None, str]] = []
    with connected(url, heartbeat=300) as connection:
        channel = connection.channel()
        while True:
            method, received, body = channel.basic_get(subscription.dead)
            if method is None:
                return found
            told = received.headers or {}
            reason = str(told.get(ERROR) or told.get("x-first-death-reason") or "")
            found.append((digest_of(body), _event_id(body), reason))


def digest_of(body: bytes) -> str:
    """Return what a body is known by."""
    return hashlib.sha256(body).hexdigest()


def _event_id(body: bytes) -> str | None:
    """Return the id of the event in a body, in whatever encoding it can be read; None when in none."""
    for encoding in (None, "gzip"):
        try:
            return decode(body, encoding).id
        except SchemaError:
            continue
    return None


def _send(url: str, messages: int, seed: int, subscriptions: dict[str, Subscription], found: Through) -> None:
    """Publish with confirms; what the broker refuses, as RabbitMQ 3.10's streams refuse decimals, is not sent."""
    found.sent = {queue: {} for queue in subscriptions}
    rest = planned(seed, subscriptions)
    sent = 0
    while True:
        try:
            with connected(url, heartbeat=300) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                while sent < messages:
                    exchange, key, body, properties = next(rest)
                    channel.basic_publish(exchange, key, body, properties, mandatory=True)
                    for queue, subscription in subscriptions.items():
                        if key == subscription.queue if exchange == "" else subscription.wants(key):
                            found.sent[queue][digest_of(body)] = body
                            sent += 1
                return
        except ConnectionLostError:
            found.refused += 1
