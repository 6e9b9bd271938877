"""Filling one queue: what it wants and its delivery ledger never saw is sent to it alone, marked as replayed.

Events keep their ids, so whatever comes twice (a second replay, or a live delivery that a replay overtakes) is handled
once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy.exc import DBAPIError

from testbus_broker.message import REPLAYED, ROUTING_KEY, Message
from testbus_consumers.errors import StateError
from testbus_consumers.store import deliveries
from testbus_schemas import SchemaError, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from testbus_broker.topology import Subscription
    from testbus_consumers.replay.selection import Selection
    from testbus_consumers.store import Store
    from testbus_schemas import Event, EventData

#: Events that are looked up in the ledger, and sent with one window of confirms, at a time.
BATCH: Final = 500


class Place(Protocol):
    """Where events of the past are read, and where one queue is: the broker, or an embedded home."""

    @property
    def total(self) -> int | None:
        """Return about how many events there are to read; None when nobody knows."""

    def oldest(self) -> Message | None:
        """Return the oldest event that was kept; None when there is none."""

    def events(self, selection: Selection) -> Iterable[Message]:
        """Yield what was published and kept, the oldest first; what surely is not selected may be left out."""

    def put(self, messages: Sequence[Message]) -> None:
        """Put messages into the queue; they are safe when this returns."""


@dataclass(kw_only=True)
class Filled:
    """What a replay did so far; `wanted` is `seen` and `missing` together."""

    #: Events read.
    read: int = 0
    #: Those that the queue is bound to, and that were selected.
    wanted: int = 0
    #: Those of them that the queue has seen before, or that were published more than once.
    seen: int = 0
    #: Those that it never saw.
    missing: int = 0
    #: Those that were sent to it.
    sent: int = 0
    #: What the queue is bound to and nobody can read: it would only go to the dead letters.
    unreadable: int = 0
    #: When the oldest event that was kept was recorded; None when there is none.
    begins: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class _Filling:
    """One replay at work."""

    place: Place
    store: Store
    subscription: Subscription
    selection: Selection
    replay: str
    notify: bool
    dry_run: bool
    filled: Filled

    def missing_of(self, batch: dict[str, Message]) -> list[str]:
        """Return the ids of those events that the queue never saw."""
        try:
            with self.store.begin() as connection:
                seen = deliveries.seen(connection, batch.keys(), silent=not self.notify)
        except DBAPIError as error:
            reason = str(error.orig).splitlines()[0]
            raise StateError(
                f"the state of {self.subscription.name} cannot be read ({reason}): run `testbus db upgrade`"
            ) from None
        return [event_id for event_id in batch if event_id not in seen]

    def send(self, batch: dict[str, Message]) -> None:
        """Send what is missing, and count."""
        missing = self.missing_of(batch)
        if missing and not self.dry_run:
            self.place.put([self.readdressed(event_id, batch[event_id]) for event_id in missing])
            self.filled.sent += len(missing)
        self.filled.missing += len(missing)
        self.filled.seen += len(batch) - len(missing)
        batch.clear()

    def readdressed(self, event_id: str, message: Message) -> Message:
        """Return a message of the past as it goes to the one queue; what else its headers said is not believed."""
        marked: dict[str, str | int] = {} if self.notify else {REPLAYED: self.replay}
        return Message(
            body=message.body,
            exchange="",
            routing_key=self.subscription.queue,
            headers={ROUTING_KEY: message.routing_key, **marked},
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            message_id=event_id,
            timestamp=message.timestamp,
        )

    def wanted(self, message: Message) -> Event[EventData] | None:
        """Return the event of a message that is to be replayed, None for any other."""
        if not self.selection.wants_key(self.subscription, message.routing_key):
            return None
        try:
            event = decode(message.body, message.content_encoding)
        except SchemaError:
            event = None
        if event is None or event.routing_key != message.routing_key:
            self.filled.unreadable += 1
            return None
        return event if self.selection.wants(event) else None


def fill(
    place: Place,
    store: Store,
    subscription: Subscription,
    selection: Selection,
    *,
    replay: str,
    notify: bool = False,
    dry_run: bool = False,
    allow_partial: bool = False,
    progress: Callable[[Filled], None] = lambda _: None,
) -> Filled:
    """Send to one queue what it wants, was selected, and its ledger (`store`) never saw.

    `replay` is the id that the messages are marked with; with `notify` they are not marked, and people are told of
    them as of news. `dry_run` only counts. `progress` is called after each event read.
    Raises PartialRangeError unless `allow_partial`, StateError, and what the place raises (Unconfirmed).
    """
    filling = _Filling(
        place=place,
        store=store,
        subscription=subscription,
        selection=selection,
        replay=replay,
        notify=notify,
        dry_run=dry_run,
        filled=(filled := Filled()),
    )
    batch: dict[str, Message] = {}
    met: set[str] = set()
    if (oldest := place.oldest()) is not None and (begins := _moment(oldest)) is not None:
        filled.begins = begins
        if not allow_partial:
            selection.demand_whole(begins)
    for message in place.events(selection):
        filled.read += 1
        if (event := filling.wanted(message)) is not None:
            filled.wanted += 1
            filled.seen += event.id in met
            if event.id not in met:
                met.add(event.id)
                batch[event.id] = message
        if len(batch) >= BATCH:
            filling.send(batch)
        progress(filled)
    filling.send(batch)
    progress(filled)
    return filled


def _moment(message: Message) -> datetime | None:
    """Return when a message was recorded, or else published."""
    try:
        return decode(message.body, message.content_encoding).time
    except SchemaError:
        return None if message.timestamp is None else datetime.fromtimestamp(message.timestamp, UTC)
