"""Whether an event came the way that it says: what its sender may say is checked on the way, not in the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_consumers.runtime.consumer import Handler, Kind
from testbus_schemas import SchemaError

if TYPE_CHECKING:
    from testbus_consumers.runtime.delivery import Delivery
    from testbus_schemas import Event, EventData


def check_origin(event: Event[EventData], delivery: Delivery, handler: Handler | None) -> None:
    """Raise SchemaError for a body that claims another type or project than its key.

    On that key the broker checks a producer's rights. Only a request comes without one, and nothing but a request may:
    whoever can ask must not be able to tell.
    """
    if delivery.forged:
        raise SchemaError("it came with x-death headers, which only the broker writes: publish events without them")
    if delivery.routing_key is None:
        if handler is None or handler.kind is not Kind.ANSWER:
            raise SchemaError(f"{event.name} came as a request: publish events to the exchange of events")
    elif delivery.routing_key != event.routing_key:
        raise SchemaError(
            f"published as {delivery.routing_key!r}, but the body says {event.routing_key!r}: a producer may only "
            "speak for its own project"
        )
