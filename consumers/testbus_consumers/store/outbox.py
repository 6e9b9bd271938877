"""The outbox: what a transaction wants published is committed with it, and published from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, select

from testbus_broker.message import REPLAYED, Message
from testbus_consumers.store.tables import OUTBOX
from testbus_schemas import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from testbus_broker.publisher import Publisher
    from testbus_consumers.store import Store
    from testbus_schemas import Event, EventData

_UNSENT: Final = select(OUTBOX).order_by(OUTBOX.c.id).limit(500)

#: Made once: most events lead to something.
_KEPT: Final = OUTBOX.insert().returning(OUTBOX.c.id)
_OF_CAUSE: Final = _UNSENT.where(OUTBOX.c.cause == bindparam("of"))


@dataclass(frozen=True, kw_only=True)
class Unsent:
    """An event that waits for its confirm."""

    #: Row.
    id: int
    event_id: str
    #: Where it goes.
    routing_key: str
    #: Its body as sent.
    body: bytes
    #: "gzip" or None.
    content_encoding: str | None
    #: Id of the replay that it follows from, or "".
    replay: str


def add(connection: Connection, cause: str, event: Event[EventData], now: float, *, replay: str = "") -> Unsent:
    """Keep an event for publication; `cause` is the event or job that led to it, `replay` the id of a replay if any."""
    encoded = encode(event)
    row: dict[str, Any] = {
        "event_id": event.id,
        "routing_key": event.routing_key,
        "body": encoded.body,
        "content_encoding": encoded.content_encoding,
        "replay": replay,
    }
    kept = connection.execute(_KEPT, {"cause": cause, "created_at": now, **row})
    return Unsent(id=kept.scalar_one(), **row)


def of_cause(connection: Connection, cause: str) -> list[Unsent]:
    """Return what one event or job led to and is not confirmed yet."""
    return [_as_unsent(row) for row in connection.execute(_OF_CAUSE, {"of": cause})]


def older_than(connection: Connection, moment: float) -> list[Unsent]:
    """Return what should long have been confirmed: its worker died between commit and publication."""
    rows = connection.execute(_UNSENT.where(OUTBOX.c.created_at < moment))
    return [_as_unsent(row) for row in rows]


def _as_unsent(row: Any) -> Unsent:
    return Unsent(
        id=row.id,
        event_id=row.event_id,
        routing_key=row.routing_key,
        body=row.body,
        content_encoding=row.content_encoding,
        replay=row.replay,
    )


def confirmed(connection: Connection, sent: Sequence[Unsent]) -> None:
    """Forget what a broker has confirmed."""
    connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_([row.id for row in sent])))


#: Seconds that confirms may take before the event that led to them is retried.
CONFIRM_S: Final = 15.0


def publish_outbox(store: Store, publisher: Publisher, cause: str) -> None:
    """Publish what one job led to; raises what the publisher raises, and then nothing is forgotten."""
    with store.begin() as connection:
        unsent = of_cause(connection, cause)
    publish(store, publisher, unsent)


def publish_stragglers(store: Store, publisher: Publisher, before: float) -> int:
    """Publish what a dead worker left behind, and return how much that was."""
    with store.begin() as connection:
        unsent = older_than(connection, before)
    publish(store, publisher, unsent)
    return len(unsent)


def publish(store: Store, publisher: Publisher, unsent: Sequence[Unsent]) -> None:
    """Publish rows of the outbox and delete them; raises what the publisher raises, and then deletes nothing."""
    if not unsent:
        return
    messages = [
        Message(
            body=row.body,
            routing_key=row.routing_key,
            content_encoding=row.content_encoding,
            message_id=row.event_id,
            headers={REPLAYED: row.replay} if row.replay else {},
        )
        for row in unsent
    ]
    publisher.publish(messages, CONFIRM_S)
    with store.begin() as connection:
        confirmed(connection, unsent)
