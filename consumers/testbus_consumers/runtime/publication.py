"""From the outbox to the broker: published, confirmed, forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_broker.message import REPLAYED, Message
from testbus_consumers.store import outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_broker.publisher import Publisher
    from testbus_consumers.store import Store
    from testbus_consumers.store.outbox import Unsent

#: Seconds that confirms may take before the event that led to them is retried.
CONFIRM_S: Final = 15.0


def publish_outbox(store: Store, publisher: Publisher, cause: str) -> None:
    """Publish what one job led to; raises what the publisher raises, and then nothing is forgotten."""
    with store.begin() as connection:
        unsent = outbox.of_cause(connection, cause)
    publish(store, publisher, unsent)


def publish_stragglers(store: Store, publisher: Publisher, before: float) -> int:
    """Publish what a dead worker left behind, and return how much that was."""
    with store.begin() as connection:
        unsent = outbox.older_than(connection, before)
    publish(store, publisher, unsent)
    return len(unsent)


def publish(store: Store, publisher: Publisher, unsent: Sequence[Unsent]) -> None:
    """Publish rows of the outbox and forget them; raises what the publisher raises, and then nothing is forgotten."""
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
        outbox.confirmed(connection, unsent)
