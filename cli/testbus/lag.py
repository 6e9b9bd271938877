"""How long events have waited: the age of the oldest that a queue has not dealt with."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from testbus_broker import stream
from testbus_broker.errors import BrokerError
from testbus_consumers import overview, registry
from testbus_schemas import SchemaError, decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_broker.message import Message
    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import Settings

#: How much earlier than what was handled last the stream is read: clocks differ, and events come in no order.
_BEFORE: Final = timedelta(minutes=5)

#: Bounds of the search: seconds, and events of one queue between two looks into its ledger.
_SEARCH_S: Final = 5.0
_BATCH: Final = 500


def oldest(
    configured: Settings, url: str, behind: Mapping[str, float | None], *, allow_plaintext: bool = False
) -> dict[str, float]:
    """Return when the oldest event that waits in each queue was made, in seconds since the epoch.

    `behind` are the labels of queues in which something waits, with the time of what each handled last. RabbitMQ does
    not tell the age of what is in a queue: the stream is held against each ledger. A queue of which that cannot be
    found out is left out: in time, with the rights of this account, or because it has handled nothing yet, so that
    nobody knows where in the stream its own events begin.
    """
    handled = {label: moment for label, moment in behind.items() if moment is not None}
    searches = [_Search(configured, one) for one in registry.instances(configured) if one.label in handled]
    if not searches:
        return {}
    since = min(datetime.fromtimestamp(min(handled.values()), UTC), datetime.now(UTC)) - _BEFORE
    deadline = time.monotonic() + _SEARCH_S
    try:
        messages = stream.read(url, offset=since, marked=False, allow_plaintext=allow_plaintext)
        with closing(messages):
            for _, message in messages:
                for search in searches:
                    search.look(message)
                if all(search.found for search in searches) or time.monotonic() > deadline:
                    break
    except BrokerError:
        # An account that may not read the stream.
        return {}
    for search in searches:
        search.settle()
    return {search.label: search.made_at for search in searches if search.made_at is not None}


class _Search:
    """Looks for the first event that one queue wants and does not know."""

    def __init__(self, configured: Settings, instance: Instance) -> None:
        self.label = instance.label
        #: When the event was made; None before it is found.
        self.made_at: float | None = None
        self._configured = configured
        self._instance = instance
        self._batch: dict[str, Message] = {}

    @property
    def found(self) -> bool:
        """Tell whether the search is over."""
        return self.made_at is not None

    def look(self, message: Message) -> None:
        """Take the next event of the stream."""
        known = not message.message_id or message.message_id in self._batch
        if self.found or known or not self._instance.subscription.wants(message.routing_key):
            return
        self._batch[str(message.message_id)] = message
        # The first is looked up at once: where nothing was handled out of order it is the one.
        if len(self._batch) in {1, _BATCH}:
            self.settle()

    def settle(self) -> None:
        """Look up what was taken."""
        if self.found or not self._batch:
            return
        seen = overview.seen(self._configured.state_url(), self._instance, self._batch.keys())
        unknown = (message for event_id, message in self._batch.items() if event_id not in seen)
        for message in unknown:
            try:
                self.made_at = decode(message.body, message.content_encoding).time.timestamp()
            except SchemaError:
                continue
            break
        if len(self._batch) > 1:
            # The first one alone stays: the next ones are looked up together.
            self._batch = {}
