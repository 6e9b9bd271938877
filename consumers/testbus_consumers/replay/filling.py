"""Sending the past to one queue: what it wants, was selected, and (unless it is resent) its ledger never saw.

Events keep their ids, so whatever comes twice (a second replay, or a live delivery that a replay overtakes) is handled
once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError

from testbus_broker.message import REPLAYED, ROUTING_KEY, Message
from testbus_consumers.runtime.replay_mark import Mode
from testbus_consumers.store import deliveries
from testbus_consumers.store.engine import unusable
from testbus_schemas import SchemaError, decode

if TYPE_CHECKING:
    from testbus_consumers.replay.plan import Filled, Plan
    from testbus_schemas import Event, EventData

#: Ids that are kept in mind: what was published twice was so within a few batches of one runner. Whatever is farther
#: apart is found in the ledger, or is sent twice and handled once.
_REMEMBERED: Final = 100_000


def fill(plan: Plan) -> Filled:
    """Do what is planned, and return what that was.

    Raises PartialRangeError, StateError, and what the place raises (Unconfirmed); then `plan.filled` tells how far it
    came, and the same plan again, from its offset or from the beginning, does the rest.
    """
    plan.require_complete()
    filling = _Filling(plan)
    begin = plan.begin if plan.begin is not None else plan.selection.since
    for offset, message in plan.place.events(begin):
        filling.take(offset, message)
        plan.progress(plan.filled)
    filling.flush()
    plan.progress(plan.filled)
    return plan.filled


def event_of(plan: Plan, message: Message) -> Event[EventData] | None:
    """Return the event of a message that the queue is bound to and that may be selected; None for any other."""
    if not plan.selection.wants_key(plan.instance.subscription, message.routing_key):
        return None
    try:
        event = decode(message.body, message.content_encoding)
    except SchemaError:
        event = None
    if event is None or event.routing_key != message.routing_key:
        plan.filled.unreadable += 1
        return None
    return event


class _Filling:
    """One replay at work."""

    def __init__(self, plan: Plan) -> None:
        """Begin with nothing."""
        self._plan = plan
        self._filled = plan.filled
        self._batch: dict[str, Message] = {}
        self._met: OrderedDict[str, None] = OrderedDict()
        self._read_to: int | None = None

    def take(self, offset: int | None, message: Message) -> None:
        """Take the next event of the past."""
        if offset is not None and self._read_to is None and (end := self._plan.place.end) is not None:
            self._filled.total = max(end - offset, 1)
        self._read_to = None if offset is None else offset + 1
        self._filled.read += 1
        event = event_of(self._plan, message)
        if event is not None and self._plan.selection.wants(event):
            self._want(event.id, message)
        if len(self._batch) >= self._plan.pace.batch:
            self.flush()
        elif not self._batch:
            self._filled.offset = self._read_to

    def flush(self) -> None:
        """Send what is to be sent, and count."""
        missing = self._missing()
        chosen = list(self._batch) if self._plan.replay.mode is Mode.RESEND else missing
        if chosen and not self._plan.dry_run:
            self._plan.pace.wait(len(chosen))
            self._plan.place.put([self._readdressed(event_id, self._batch[event_id]) for event_id in chosen])
            self._filled.sent += len(chosen)
        self._filled.missing += len(missing)
        self._filled.seen += len(self._batch) - len(missing)
        self._filled.offset = self._read_to
        self._batch.clear()

    def _want(self, event_id: str, message: Message) -> None:
        self._filled.wanted += 1
        if event_id in self._met:
            self._filled.seen += 1
            return
        self._met[event_id] = None
        if len(self._met) > _REMEMBERED:
            self._met.popitem(last=False)
        self._batch[event_id] = message

    def _missing(self) -> list[str]:
        """Return the ids of those events of the batch that the queue never saw."""
        if not self._batch:
            return []
        try:
            with self._plan.store.begin() as connection:
                seen = deliveries.seen(connection, self._batch.keys(), silent=not self._plan.replay.notify)
        except DBAPIError as error:
            raise unusable(self._plan.instance.queue, error) from None
        return [event_id for event_id in self._batch if event_id not in seen]

    def _readdressed(self, event_id: str, message: Message) -> Message:
        """Return a message of the past as it goes to the one queue; what else its headers said is not believed."""
        mark = self._plan.replay.mark
        return Message(
            body=message.body,
            exchange="",
            routing_key=self._plan.instance.subscription.queue,
            headers={ROUTING_KEY: message.routing_key, **({REPLAYED: mark} if mark else {})},
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            message_id=event_id,
            timestamp=message.timestamp,
        )
