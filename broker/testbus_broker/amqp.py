"""Between our messages and pika's properties."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import pika

from testbus_broker.message import ROUTING_KEY, Message

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Delivery mode of messages that survive a restart of the broker.
_PERSISTENT: Final = 2

#: Header in which the broker tells through which queues a message died: a list of tables, the latest first.
_DEATHS: Final = "x-death"

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
        timestamp=int(time.time()) if message.timestamp is None else message.timestamp,
    )


def delivered(method: Any, received: pika.BasicProperties, body: bytes) -> Message:
    """Return the message of a delivery, a `basic.get` or a return.

    Of the application's headers those with text or whole numbers are kept. A message that the broker itself
    dead-lettered gets the routing key that it was first published under as `message.ROUTING_KEY`.
    """
    raw: Mapping[str, Any] = received.headers or {}
    headers = {
        # pika's whole numbers are of a type of its own.
        name: value if isinstance(value, (str, bool)) else int(value)
        for name, value in raw.items()
        if isinstance(value, (str, int)) and name not in _OF_THE_BROKER
    }
    if ROUTING_KEY not in headers and (first := _first_key(raw)):
        headers[ROUTING_KEY] = first
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
        timestamp=received.timestamp,
    )


def _first_key(headers: Mapping[str, Any]) -> str | None:
    """Return the routing key of a message's first death; None when it did not die."""
    deaths = headers.get(_DEATHS)
    if not isinstance(deaths, list) or not deaths or not isinstance(deaths[-1], dict):
        return None
    keys = deaths[-1].get("routing-keys")
    return str(keys[0]) if isinstance(keys, list) and keys else None
