"""The past in an embedded home: read from the log, put where one queue finds it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from testbus_broker.event_log import EventLog
from testbus_broker.message import REPLAYED
from testbus_consumers.embedded.bus import taken
from testbus_consumers.embedded.state import DELAYED, load_positions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from testbus_broker.message import Message
    from testbus_consumers.store import Store


class HomePlace:
    """A home's log, and the state of one of its queues; a process that drains the home may be at work beside it."""

    #: The events of a log have no numbers.
    end: int | None = None

    def __init__(self, home: Path, store: Store) -> None:
        """Take the home and the queue's state."""
        self._home = home
        self._log = EventLog(home)
        self._store = store

    def oldest(self) -> Message | None:
        """Return the oldest event of the log."""
        return next((message for message, _ in self._log.read({})), None)

    def events(self, begin: datetime | int | None) -> Iterator[tuple[None, Message]]:  # noqa: ARG002 no index
        """Yield what the queue has read past: the rest it still reads itself, as news."""
        with self._store.begin() as connection:
            behind = load_positions(connection) or {}
        place: dict[str, int] = {}
        for message, after in self._log.read({}):
            (segment,) = (name for name, offset in after.items() if place.get(name) != offset)
            place = after
            if after[segment] <= behind.get(segment, 0):
                yield None, message

    def put(self, messages: Sequence[Message]) -> None:
        """Let the messages be due at once, for this queue only; in the order in which they were published."""
        now = time.time()
        rows = [
            {
                "due_at": now,
                "body": message.body,
                "content_encoding": message.content_encoding,
                "routing_key": message.first_routing_key,
                "attempt": 0,
                "delays": 0,
                "reason": "",
                "replay": message.headers.get(REPLAYED, ""),
            }
            for message in messages
        ]
        with self._store.begin() as connection:
            connection.execute(DELAYED.insert(), rows)

    def alone(self) -> AbstractContextManager[None]:
        """Keep a process away that would drain the home, and raise BusyHomeError while one does.

        It could have handled an event that it has not yet noted to have read: to be reset, and not to be sent again.
        """
        return taken(self._home)
