"""Exchanges, queues and bindings as data (standard library only); `declare` makes them exist.

    testbus.events (topic) ─┬─ testbus.stream              every event, for replay
                            └─ testbus.queue.<name>        one per subscription
    testbus.delay.<name>.<seconds>  ──after the time──▶ testbus.queue.<name>
    testbus.queue.<name>  ──given up by the broker──▶ testbus.dlq.<name>
    testbus.requests (direct)  ──"verdict"──▶ testbus.queue.requests

Each queue has retry delays of its own: with a shared one, retries for a queue that is gone stop everybody's.
Requests are no events: they are neither retried nor kept, so their queue has no delays and no dead letters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from testbus_broker.errors import SubscriptionNameError
from testbus_broker.message import EVENTS_EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


#: Direct exchange of requests; they are not events, so the stream does not keep them.
REQUESTS_EXCHANGE: Final = "testbus.requests"

#: Stream that keeps every event for replay.
STREAM: Final = "testbus.stream"

#: Retry delays of each queue, in seconds, ascending.
DELAY_STEPS: Final = (5, 30, 120, 600)

#: Deliveries after which the broker itself moves a message to the dead letters. Not fewer where workers are killed or
#: restarted: that counts one for every message that a worker had prefetched and never started.
DELIVERY_LIMIT: Final = 20

#: Routing key of verdict requests.
VERDICT_KEY: Final = "verdict"

#: Name of the subscription whose queue takes all requests, and nothing else.
REQUESTS: Final = "requests"

#: Milliseconds that a request waits for a worker: whoever asked has asked again long before.
REQUEST_TTL_MS: Final = 60_000

#: Requests that wait at most; of more, the oldest go.
MAX_REQUESTS: Final = 10_000

#: How long the stream keeps events, in RabbitMQ's notation: 14 days.
STREAM_MAX_AGE: Final = "14D"

#: Bound of the stream in bytes: 20 GB.
STREAM_MAX_BYTES: Final = 20_000_000_000

#: Size in bytes of one segment of the stream; retention removes whole segments.
STREAM_SEGMENT_BYTES: Final = 100_000_000

_QUEUE_PREFIX: Final = "testbus.queue."
_DEAD_PREFIX: Final = "testbus.dlq."
_DELAY_PREFIX: Final = "testbus.delay."
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)?")


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A durable exchange."""

    name: str
    #: "topic" or "direct".
    kind: str


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A durable queue or stream."""

    name: str
    #: What it is for: "queue" (a consumer's), "requests", "delay", "dlq" or "stream".
    kind: str
    #: Arguments of its declaration (`x-…`).
    arguments: Mapping[str, str | int]


@dataclass(frozen=True, kw_only=True)
class Binding:
    """Messages of one exchange that match a key go to one queue."""

    #: Name of the exchange.
    exchange: str
    #: Name of the queue.
    queue: str
    #: Topic pattern, or exact key of a direct exchange.
    key: str


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """What one consumer, or one target of a consumer, receives."""

    #: `gates`, or with a target `reportportal.eu`.
    name: str
    #: Topic patterns of the routing keys it wants; empty for a queue that is only named.
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a name that would make another's queue out of ours."""
        if not _NAME.fullmatch(self.name):
            raise SubscriptionNameError(
                f"{self.name!r} cannot name a queue; write <consumer> or <consumer>.<target>, each of a-z, 0-9, _ and -"
            )

    @classmethod
    def from_queue(cls, queue: str) -> Subscription:
        """Return the subscription that a queue's name belongs to, without patterns; SubscriptionNameError if none."""
        if not queue.startswith(_QUEUE_PREFIX):
            raise SubscriptionNameError(f"{queue!r} is no consumer's queue; those begin with {_QUEUE_PREFIX!r}")
        return cls(name=queue.removeprefix(_QUEUE_PREFIX))

    @property
    def queue(self) -> str:
        """Return the name of the queue that its workers consume."""
        return _QUEUE_PREFIX + self.name

    @property
    def dead(self) -> str:
        """Return the name of the queue where its dead letters wait."""
        return _DEAD_PREFIX + self.name

    def delay(self, seconds: int) -> str:
        """Return the name of the queue from which messages come back after so many seconds (of `DELAY_STEPS`)."""
        return f"{_DELAY_PREFIX}{self.name}.{seconds}"

    @property
    def takes_requests(self) -> bool:
        """Tell whether requests come to it, and no events."""
        return self.name == REQUESTS

    def wants(self, routing_key: str) -> bool:
        """Tell whether an event published under this key is for it."""
        return any(matches(pattern, routing_key) for pattern in self.patterns)


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Everything that has to exist at the broker."""

    #: The subscriptions it was made for.
    subscriptions: tuple[Subscription, ...]
    #: Exchanges, to be declared first.
    exchanges: tuple[Exchange, ...]
    #: Queues in an order in which each one's dead letters already have a place to go.
    queues: tuple[Queue, ...]
    #: Bindings, to be made last.
    bindings: tuple[Binding, ...]

    @classmethod
    def of(
        cls,
        subscriptions: Iterable[Subscription],
        *,
        delay_steps: Sequence[int] = DELAY_STEPS,
        delivery_limit: int = DELIVERY_LIMIT,
    ) -> Topology:
        """Return the topology for these subscriptions.

        Each has retry delays of these steps (seconds, ascending), and a queue with this limit of deliveries.
        """
        ordered = tuple(subscriptions)
        return cls(
            subscriptions=ordered,
            exchanges=(Exchange(name=EVENTS_EXCHANGE, kind="topic"), Exchange(name=REQUESTS_EXCHANGE, kind="direct")),
            queues=(
                _stream(),
                *(queue for subscription in ordered for queue in _queues(subscription, delay_steps, delivery_limit)),
            ),
            bindings=(
                Binding(exchange=EVENTS_EXCHANGE, queue=STREAM, key="#"),
                *(binding for subscription in ordered for binding in _bindings(subscription)),
            ),
        )


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    """Compile a topic pattern to match a key that has a dot put before its first word."""
    wild = {"#": r"(?:\.[^.]*)*", "*": r"\.[^.]*"}
    words = pattern.split(".") if pattern else ()
    return re.compile("".join(wild.get(word, r"\." + re.escape(word)) for word in words))


def matches(pattern: str, routing_key: str) -> bool:
    """Tell whether a topic pattern covers a routing key by the rules of AMQP 0-9-1.

    Words are separated by dots; `*` stands for exactly one word, `#` for zero or more.
    """
    return _pattern(pattern).fullmatch(f".{routing_key}" if routing_key else "") is not None


def _stream() -> Queue:
    return Queue(
        name=STREAM,
        kind="stream",
        arguments={
            "x-queue-type": "stream",
            "x-max-age": STREAM_MAX_AGE,
            "x-max-length-bytes": STREAM_MAX_BYTES,
            "x-stream-max-segment-size-bytes": STREAM_SEGMENT_BYTES,
        },
    )


def _dead_lettering(queue: str) -> dict[str, str | int]:
    """Return arguments for dead-lettering to one queue without loss.

    At-least-once needs `reject-publish`, but there is no length limit: one full queue would make the broker nack every
    runner's events, those that other queues took included.
    """
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _queues(subscription: Subscription, delay_steps: Sequence[int], delivery_limit: int) -> tuple[Queue, ...]:
    if subscription.takes_requests:
        return (_queue_of_requests(subscription, delivery_limit),)
    return (
        # Without a delivery limit: browsing dead letters must not spend anything.
        Queue(name=subscription.dead, kind="dlq", arguments={"x-queue-type": "quorum"}),
        Queue(
            name=subscription.queue,
            kind="queue",
            arguments={**_dead_lettering(subscription.dead), "x-delivery-limit": delivery_limit},
        ),
        *(
            Queue(
                name=subscription.delay(seconds),
                kind="delay",
                arguments={**_dead_lettering(subscription.queue), "x-message-ttl": seconds * 1000},
            )
            for seconds in delay_steps
        ),
    )


def _queue_of_requests(subscription: Subscription, delivery_limit: int) -> Queue:
    return Queue(
        name=subscription.queue,
        kind="requests",
        arguments={
            "x-queue-type": "quorum",
            "x-message-ttl": REQUEST_TTL_MS,
            "x-max-length": MAX_REQUESTS,
            "x-overflow": "drop-head",
            "x-delivery-limit": delivery_limit,
        },
    )


def _bindings(subscription: Subscription) -> Iterable[Binding]:
    for pattern in subscription.patterns:
        yield Binding(exchange=EVENTS_EXCHANGE, queue=subscription.queue, key=pattern)
    if subscription.takes_requests:
        yield Binding(exchange=REQUESTS_EXCHANGE, queue=subscription.queue, key=VERDICT_KEY)
