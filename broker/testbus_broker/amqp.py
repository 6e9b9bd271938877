"""Between our messages and pika's properties."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pika

from testbus_broker.message import DIED, ERROR, OURS, REPLAYED, ROUTING_KEY, Message

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Delivery mode of messages that survive a restart of the broker.
_PERSISTENT: Final = 2

#: Header in which the broker tells through which queues a message died: a list of tables, the latest first.
DEATHS: Final = "x-death"

#: Reason of a death that is none: the time on a retry delay was over.
_WAITED: Final = "expired"

#: Headers that the broker adds to each delivery.
_OF_THE_BROKER: Final = frozenset({"x-delivery-count", "x-stream-offset"})


def properties(message: Message) -> pika.BasicProperties:
    """Return the AMQP properties of a message; without a time of its own it gets the present one."""
    return pika.BasicProperties(
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=dict(message.headers) or None,
        delivery_mode=_PERSISTENT,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        message_id=message.message_id,
        user_id=message.user_id,
        timestamp=int(time.time()) if message.timestamp is None else message.timestamp,
    )


def delivered(method: Any, received: pika.BasicProperties, body: bytes) -> Message:
    """Return the message of a delivery, a `basic.get` or a return.

    Of the application's headers those with text or whole numbers are kept; of ours (`x-testbus-…`) only what one of us
    wrote, for whoever publishes to an exchange may write any header. A message that the broker itself gave up gets the
    routing key that it was first published under as `message.ROUTING_KEY`, why as `ERROR` and when as `DIED`.
    """
    raw: Mapping[str, Any] = received.headers or {}
    headers = {
        # pika's whole numbers are of a type of its own.
        name: value if isinstance(value, (str, bool)) else int(value)
        for name, value in raw.items()
        if isinstance(value, (str, int)) and name not in _OF_THE_BROKER
    }
    # Whatever died comes by the default exchange; elsewhere such a header is the publisher's own.
    death = _last_death(raw) if method.exchange == "" else None
    exchange = method.exchange if death is None else death.get("exchange")
    first_key = method.routing_key if death is None else _key_of(death)
    if exchange != "":
        headers = {name: value for name, value in headers.items() if _anybody_may_write(name, first_key)}
    if death is not None:
        headers.setdefault(ROUTING_KEY, first_key)
        if (reason := death.get("reason")) != _WAITED:
            headers[ERROR] = f"given up by the broker: {reason}"
            if isinstance(died := death.get("time"), datetime):
                headers[DIED] = int(died.replace(tzinfo=UTC).timestamp())
    return Message(
        body=body,
        routing_key=method.routing_key,
        exchange=method.exchange,
        headers=headers,
        content_type=received.content_type or "",
        content_encoding=received.content_encoding,
        message_id=received.message_id,
        reply_to=received.reply_to,
        correlation_id=received.correlation_id,
        user_id=received.user_id,
        timestamp=received.timestamp,
    )


def _last_death(headers: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what the broker wrote when the message died last; None when it did not.

    A worker refuses messages that come through an exchange with such a header already, before they can die here.
    """
    deaths = headers.get(DEATHS)
    return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else None


def _key_of(death: Mapping[str, Any]) -> str:
    keys = death.get("routing-keys")
    return str(keys[0]) if isinstance(keys, list) and keys else ""


def _anybody_may_write(header: str, routing_key: str) -> bool:
    """Tell whether a header counts although its message came through an exchange.

    What consumers derive carries the mark of a replay there; a runner may not publish under such a key.
    """
    if not header.startswith(OURS):
        return True
    if header != REPLAYED:
        return False
    from testbus_schemas.catalog import EVENT_TYPES  # noqa: PLC0415 not on a runner's way

    known = EVENT_TYPES.get(".".join(routing_key.split(".")[:2]))
    return known is not None and known.sender == "consumers"
