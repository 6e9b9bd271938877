"""One message, as it is published and as it is delivered (standard library only)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from testbus_schemas.wire import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_schemas import Event, EventData

#: Topic exchange that every event is published to, with routing key `<noun>.<verb>.<project>`.
EVENTS_EXCHANGE: Final = "testbus.events"

#: What the names of our own headers begin with.
OURS: Final = "x-testbus-"

#: Header: how many attempts that count were made so far (int).
ATTEMPT: Final = "x-testbus-attempt"

#: Header: how often the message waited on the retry delays so far, counted or not (int).
DELAYS: Final = "x-testbus-delays"

#: Header: deliveries before the last delay that nobody answered for: the broker counts them from 0 again (int).
UNANSWERED: Final = "x-testbus-unanswered"

#: Header: the routing key that it was first published under; set when it is republished to one queue.
ROUTING_KEY: Final = "x-testbus-routing-key"

#: Header: set on messages that a replay sent again; its value is the id of the replay.
REPLAYED: Final = "x-testbus-replayed"

#: Header of a dead letter: why the consumer gave it up, in one line.
ERROR: Final = "x-testbus-error"

#: Header of a dead letter: the traceback, cut to fit a frame.
TRACEBACK: Final = "x-testbus-traceback"

#: Header of a dead letter that the broker itself gave up: when, in whole seconds since the epoch.
DIED: Final = "x-testbus-died"

#: Header of a dead letter: the queue's name without its prefix, `gates` or `reportportal.eu`.
CONSUMER: Final = "x-testbus-consumer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message, immutable."""

    #: Raw bytes, as they are on the wire (gzipped when `content_encoding` says so).
    body: bytes
    #: Routing key; for the default exchange the name of a queue.
    routing_key: str
    #: Exchange it is published to, or was; "" is the default exchange.
    exchange: str = EVENTS_EXCHANGE
    #: Application headers.
    headers: Mapping[str, str | int] = field(default_factory=dict)
    #: MIME type of the body, before compression.
    content_type: str = CONTENT_TYPE
    #: "gzip", or None for a plain body.
    content_encoding: str | None = None
    #: Id of the event; stays the same through retries and replays.
    message_id: str | None = None
    #: Where the answer to a request goes.
    reply_to: str | None = None
    #: Which request an answer belongs to.
    correlation_id: str | None = None
    #: Account that publishes it: the broker refuses a message that names another one than it came with.
    user_id: str | None = None
    #: When it was published, whole seconds since the epoch; None lets the publisher set it.
    timestamp: int | None = None

    @property
    def first_routing_key(self) -> str:
        """Return the routing key that it was first published under, whatever queue it went through since."""
        return str(self.headers.get(ROUTING_KEY, self.routing_key))


def message_of(event: Event[EventData]) -> Message:
    """Return an event as it is published for the first time."""
    from testbus_schemas import encode  # noqa: PLC0415 pydantic, which a runner does not import

    encoded = encode(event)
    return Message(
        body=encoded.body,
        routing_key=event.routing_key,
        content_encoding=encoded.content_encoding,
        message_id=event.id,
    )
