"""Making the topology exist at the broker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pika.exceptions import ChannelClosedByBroker

from testbus_broker.connection import connected, endpoint, explain
from testbus_broker.errors import DeclareRefusedError
from testbus_broker.message import EVENTS_EXCHANGE
from testbus_broker.topology import REQUESTS_EXCHANGE, VERDICT_KEY, Queue
from testbus_schemas.catalog import EVENT_TYPES

if TYPE_CHECKING:
    from testbus_broker.topology import Exchange, Topology

#: AMQP reply codes: there is no such thing; there is one, but another.
NOT_FOUND: Final = 404
PRECONDITION_FAILED: Final = 406

_INEQUIVALENT: Final = re.compile(
    r"inequivalent arg '(?P<what>[^']+)'.*?received (?P<wanted>.+?) but current is (?P<is>.+)"
)

#: From this major version on RabbitMQ gives every quorum queue a delivery limit.
_LIMITED_FROM: Final = 4

_LIMITED: Final = (
    "this RabbitMQ limits the deliveries of every quorum queue, and each look at dead letters is one: "
    "set a policy for ^testbus[.]dlq[.] with delivery-limit -1"
)


class DeclaredState(StrEnum):
    """What declaring found."""

    #: It was not there, and is now.
    CREATED = "created"
    #: It was there, as it should be.
    PRESENT = "present"
    #: It is there, but not as it should be; it was left alone.
    DRIFTED = "drifted"


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What became of one exchange or queue."""

    name: str
    #: "exchange", "queue" (a consumer's), "requests", "delay", "dlq" or "stream".
    kind: str
    #: What was found.
    state: DeclaredState
    #: What differs from what was wanted, or what else to do; "" when all is well.
    detail: str = ""

    @property
    def newborn(self) -> bool:
        """Tell whether this is a consumer's queue that missed all earlier events: a replay would fill it."""
        return self.kind == "queue" and self.state is DeclaredState.CREATED


def declare(url: str, topology: Topology, *, allow_plaintext: bool = False) -> tuple[Declared, ...]:
    """Declare exchanges, queues and bindings; as often as you like.

    What exists with other arguments is reported as drifted and left alone, and the rest goes on. Of each queue the
    bindings to types of events that its consumer does not want (any more) are removed, as is one to requests, which
    have a queue of their own. AMQP cannot list queues: that of a consumer that was taken out of the configuration stays
    until somebody removes it (`testbus broker unbind`).
    Raises ConnectFailedError, ConnectionLostError, and DeclareRefusedError when the account lacks the right.
    """
    with connected(url, allow_plaintext=allow_plaintext) as connection:
        try:
            return _declare(connection, topology)
        except ChannelClosedByBroker as error:
            raise DeclareRefusedError(
                f"{endpoint(url)}: {explain(error)}; the account needs the right to configure, write and read testbus.*"
            ) from error


def exists(connection: Any, one: Exchange | Queue) -> bool:
    """Tell whether an exchange or a queue of this name is there; ChannelClosedByBroker for any other refusal."""
    channel = connection.channel()
    try:
        _made(one, channel, passive=True)
    except ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise
        return False
    channel.close()
    return True


def _declare(connection: Any, topology: Topology) -> tuple[Declared, ...]:
    caution = _LIMITED if _major(connection) >= _LIMITED_FROM else ""
    found = []
    for exchange in topology.exchanges:
        state, detail = _ensure(connection, exchange)
        found.append(Declared(name=exchange.name, kind="exchange", state=state, detail=detail))
    for queue in topology.queues:
        state, detail = _ensure(connection, queue)
        if queue.kind == "dlq":
            detail = detail or caution
        found.append(Declared(name=queue.name, kind=queue.kind, state=state, detail=detail))
    channel = connection.channel()
    for binding in topology.bindings:
        channel.queue_bind(binding.queue, binding.exchange, binding.key)
    for subscription in topology.subscriptions:
        # One that is only named wants nobody knows what. Of a binding that is not there the broker says nothing.
        for name in EVENT_TYPES if subscription.patterns else ():
            if f"{name}.*" not in subscription.patterns:
                channel.queue_unbind(subscription.queue, EVENTS_EXCHANGE, f"{name}.*")
        if not subscription.takes_requests:
            channel.queue_unbind(subscription.queue, REQUESTS_EXCHANGE, VERDICT_KEY)
    return tuple(found)


def _made(one: Exchange | Queue, channel: Any, *, passive: bool) -> None:
    if isinstance(one, Queue):
        channel.queue_declare(one.name, passive=passive, durable=True, arguments=dict(one.arguments))
    else:
        channel.exchange_declare(one.name, one.kind, passive=passive, durable=True)


def _major(connection: Any) -> int:
    """Return the major version of the broker; 0 when it does not say."""
    version = str((connection._impl.server_properties or {}).get("version", ""))  # noqa: SLF001 nothing public has it
    major = version.partition(".")[0]
    return int(major) if major.isdecimal() else 0


def _ensure(connection: Any, one: Exchange | Queue) -> tuple[DeclaredState, str]:
    """Declare one thing, and return its state and detail; each refusal costs its channel, as AMQP has it."""
    existed = exists(connection, one)
    channel = connection.channel()
    try:
        _made(one, channel, passive=False)
    except ChannelClosedByBroker as error:
        if error.reply_code != PRECONDITION_FAILED:
            raise
        return DeclaredState.DRIFTED, _remedy(error.reply_text)
    channel.close()
    return DeclaredState.PRESENT if existed else DeclaredState.CREATED, ""


def _remedy(reply: str) -> str:
    """Return what differs and what to do, from the broker's text."""
    match = _INEQUIVALENT.search(reply)
    differs = f"{match['what']} is {match['is']}, wanted {match['wanted']}" if match else reply
    return f"{differs}; it cannot be changed in place: let it run empty, delete it, then declare again"
