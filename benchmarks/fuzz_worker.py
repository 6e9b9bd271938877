"""Messages that nobody would send, through real Celery workers on a real RabbitMQ, with books that have to balance.

Half of them come as a runner's do, through the exchange of events; half straight to a queue, as retries and replays do,
with our own headers forged. Properties, headers and content types are as odd as AMQP allows. Each body is unique, so
each message is found again: among the dead letters, or in the ledger by the id of its event.
"""

from __future__ import annotations

import gzip
import hashlib
import random
import struct
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pika
from sqlalchemy import select

from benchmarks.fuzz_bodies import Bodies
from testbus_broker.connection import connected
from testbus_broker.errors import ConnectionLostError
from testbus_broker.message import ATTEMPT, DELAYS, ERROR, REPLAYED, ROUTING_KEY
from testbus_broker.queues import depths
from testbus_broker.topology import EVENTS_EXCHANGE, Subscription
from testbus_consumers import registry, settings
from testbus_consumers.store import deliveries, open_store
from testbus_consumers.store.tables import DELIVERY
from testbus_schemas import SchemaError, decode, identity
from testbus_schemas.catalog import EVENT_TYPES
from testbus_schemas.codec import inflate
from tests import services
from tests.pipeline.deployment import Deployment
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Queues whose workers are fuzzed.
QUEUES = ("runs", "gates")

#: Seconds within which a worker deals with one message, on a busy machine, retries included.
EACH_S = 0.5

#: Seconds beyond that: the whole ladder, and the start.
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
    found.dead[queue] = {digest: reason for digest, reason in _reasons(url, subscription) if digest in sent}
    store = open_store(database, queue)
    try:
        with store.begin() as connection:
            rows = connection.execute(select(DELIVERY.c.event_id, DELIVERY.c.status)).all()
    finally:
        store.close()
    final = {row.event_id for row in rows if deliveries.Status(row.status).final}
    found.handled[queue] = {digest for digest, body in sent.items() if _event_id(body) in final}
    return len(found.dead[queue]) + len(found.handled[queue]) >= len(sent)


def _reasons(url: str, subscription: Subscription) -> list[tuple[str, str]]:
    """Return of each dead letter what its body is known by, and why it was given up; they stay where they are."""
    found: list[tuple[str, str]] = []
    with connected(url, heartbeat=300) as connection:
        channel = connection.channel()
        while True:
            method, received, body = channel.basic_get(subscription.dead)
            if method is None:
                return found
            told = received.headers or {}
            found.append((digest_of(body), str(told.get(ERROR) or told.get("x-first-death-reason") or "")))


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
    rest = _planned(seed, subscriptions)
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


def _planned(
    seed: int, subscriptions: dict[str, Subscription]
) -> Iterator[tuple[str, str, bytes, pika.BasicProperties]]:
    """Yield exchange, routing key, body and properties of each message."""
    source = random.Random(f"worker-{seed}")
    for body, encoding in _unique(Bodies(f"worker-{seed}")):
        properties = _properties(source, encoding)
        key = _own_key(body, encoding)
        if key is None or source.random() < 0.1:  # noqa: PLR2004 a tenth lies
            project = source.choice(("web", "web-shop", "web-shop", "other", "", "a.b"))
            key = f"{source.choice(list(EVENT_TYPES))}.{project}"
        if source.random() < 0.5:  # noqa: PLR2004 half
            properties.headers = (properties.headers or {}) | {ROUTING_KEY: key}
            yield "", source.choice(list(subscriptions.values())).queue, body, properties
        else:
            if properties.headers:
                # RabbitMQ 3.10 cannot put these into a stream, and closes the connection.
                properties.headers = {k: v for k, v in properties.headers.items() if not isinstance(v, Decimal)}
            yield EVENTS_EXCHANGE, key, body, properties


def _own_key(body: bytes, encoding: str | None) -> str | None:
    """Return the routing key that a body belongs to; None for what is no event."""
    try:
        return decode(body, encoding).routing_key
    except SchemaError:
        return None


def _unique(bodies: Bodies) -> Iterator[tuple[bytes, str | None]]:
    """Yield bodies that differ, whose events have ids of their own, and that nobody would answer instead of keeping."""
    seen: set[bytes] = set()
    for _, made, encoding in bodies.stream(1 << 62):
        body = _renamed(made, encoding, len(seen))
        if body is not None and body not in seen:
            seen.add(body)
            yield body, encoding


def _renamed(body: bytes, encoding: str | None, number: int) -> bytes | None:
    """Return a body whose event, if it is one, has an id that no other has; None where that cannot be done."""
    try:
        event = decode(body, encoding)
        raw = inflate(body, encoding)
    except SchemaError:
        return body
    own = identity.derived_id("fuzz", number)
    raw = raw.replace(f'"{event.id}"'.encode(), f'"{own}"'.encode(), 1)
    body = gzip.compress(raw, mtime=0) if encoding == "gzip" else raw
    try:
        kept = decode(body, encoding)
    except SchemaError:
        return None
    return body if kept.id == own and kept.name != "verdict.requested" else None


def _properties(source: random.Random, encoding: str | None) -> pika.BasicProperties:
    def sometimes(make: Callable[[], Any], chance: float = 0.15) -> Any:
        return make() if source.random() < chance else None

    return pika.BasicProperties(
        content_type=source.choice(
            (
                "application/cloudevents+json",
                "application/json",
                "application/x-python-serialize",
                "text/plain",
                "yaml",
                "application/x-msgpack",
                "application/data",
                "",
                "x" * 200,
                "\u00e9",
                None,
            )
        ),
        content_encoding=encoding or sometimes(lambda: source.choice(("utf-8", "binary", "base64", "zlib", "\u00e9"))),
        headers=sometimes(lambda: _headers(source), 0.6),
        delivery_mode=source.choice((1, 2, 2, 2)),
        priority=sometimes(lambda: source.randrange(256)),
        correlation_id=sometimes(lambda: source.choice(("", "x" * 255, "\u00e9"))),
        reply_to=sometimes(lambda: source.choice(("nobody", "", "amq.rabbitmq.reply-to.x", "testbus.queue.gates"))),
        expiration=sometimes(lambda: source.choice(("60000", "4000000000")), 0.05),
        message_id=sometimes(lambda: source.choice(("", "x" * 255, "\u00e9", "id")), 0.5),
        timestamp=sometimes(lambda: source.choice((0, 1, 2**31, 2**53))),
        type=sometimes(lambda: source.choice(("", "x" * 255))),
        app_id=sometimes(lambda: "a"),
        cluster_id=sometimes(lambda: "c"),
    )


def _headers(source: random.Random) -> dict[str, Any]:
    """Return headers that steer Celery, forge ours, or are as large and odd as AMQP allows."""
    names = (
        *(ATTEMPT, DELAYS, REPLAYED, ROUTING_KEY, "x-delivery-count", "testbus", "task", "id", "eta", "expires"),
        *("retries", "timelimit", "group", "chord", "callbacks", "errbacks", "chain", "root_id", "parent_id", "lang"),
        *("argsrepr", "kwargsrepr", "origin", "compression", "shadow", "stamps", "stamped_headers", "ignore_result"),
    )
    values: tuple[Any, ...] = (
        "", "x", "x" * 3000, "\ud7ff", "testbus.deliver", "2999-01-01T00:00:00", "gzip", "bzip2", "zlib", "py",
        "results.recorded.web", 0, 1, -1, 2**31 - 1, -(2**63), 2**63 - 1, True, None, Decimal("1.5"), 1.5,
        datetime(2026, 11, 20, tzinfo=UTC), b"\xff\x00", [], [1, "a", None, {"b": [b"c"]}], {}, {"a": {"b": {"c": {}}}},
        [None, 300], {f"key{number}": number for number in range(200)},
    )  # fmt: skip
    found = {source.choice(names): source.choice(values) for _ in range(source.randint(1, 6))}
    for _ in range(source.choice((0, 0, 0, 1, 300))):
        found["".join(source.choices("abc-_ \u00e9", k=source.randint(1, 60)))] = source.choice(values[:20])
    try:
        # pika refuses some before they are sent.
        pika.BasicProperties(headers=found).encode()
    except (struct.error, ValueError, TypeError, pika.exceptions.UnsupportedAMQPFieldException):
        return {"task": "x"}
    return found
