"""Messages that nobody would send, made so that each can be found again.

Half of them come as a runner's do, through the exchange of events; half straight to a queue, as retries and replays do,
with our own headers forged. Properties, headers and content types are as odd as AMQP allows. Each body is unique, and
so is the id of its event if it is one.
"""

from __future__ import annotations

import gzip
import random
import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pika

from benchmarks.fuzz_bodies import Bodies
from testbus_broker.message import ATTEMPT, DELAYS, EVENTS_EXCHANGE, REPLAYED, ROUTING_KEY
from testbus_schemas import SchemaError, decode, identity
from testbus_schemas.catalog import EVENT_TYPES
from testbus_schemas.codec import inflate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from testbus_broker.topology import Subscription


def planned(
    seed: int, subscriptions: Mapping[str, Subscription]
) -> Iterator[tuple[str, str, bytes, pika.BasicProperties]]:
    """Yield exchange, routing key, body and properties of messages without end; equal seeds give equal ones."""
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
