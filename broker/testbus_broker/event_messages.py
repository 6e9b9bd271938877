"""Events as messages, where they are made of models: producers that cannot afford these write their own bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_broker.message import Message
from testbus_schemas import encode

if TYPE_CHECKING:
    from testbus_schemas import Event, EventData


def message_of(event: Event[EventData]) -> Message:
    """Return an event as it is published for the first time."""
    encoded = encode(event)
    return Message(
        body=encoded.body,
        routing_key=event.routing_key,
        content_encoding=encoded.content_encoding,
        message_id=event.id,
    )
