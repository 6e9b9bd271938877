"""The past at a broker: read from the stream, sent to one queue with a window of confirms."""

from __future__ import annotations

import time
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from testbus_broker import queues, stream
from testbus_broker.event_log import EventLog
from testbus_broker.message import REPLAYED
from testbus_broker.publisher import ConfirmedPublisher
from testbus_broker.topology import STREAM
from testbus_consumers.embedded.bus import taken
from testbus_consumers.embedded.state import DELAYED, load_positions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from testbus_broker.message import Message
    from testbus_consumers.store import Store


#: Seconds that the confirms of one batch may take.
CONFIRM_S: Final = 60.0

#: How much earlier than the range the stream is read: producers' clocks and the broker's differ.
_CLOCKS: Final = timedelta(hours=1)


class StreamSource:
    """A broker's stream and queues."""

    def __init__(self, url: str, *, allow_plaintext: bool = False) -> None:
        """Take where the broker is; nothing is connected yet."""
        self._url = url
        self._plaintext = allow_plaintext
        self._publisher = ConfirmedPublisher(url, allow_plaintext=allow_plaintext)

    @cached_property
    def end(self) -> int | None:
        """Return about the offset behind the last message; the broker's count lags a little."""
        depth = queues.depths(self._url, [STREAM], allow_plaintext=self._plaintext)[STREAM]
        return self._first[0] + depth.messages if depth and self._first else None

    def oldest(self) -> Message | None:
        """Return the oldest event of the stream; raises what `stream.first` raises."""
        return self._first[1] if self._first else None

    def events(self, begin: datetime | int | None) -> Iterator[tuple[int, Message]]:
        """Yield the stream to its end as it is now; raises what `stream.read` raises."""
        offset = begin - _CLOCKS if isinstance(begin, datetime) else begin
        return stream.read(self._url, offset="first" if offset is None else offset, allow_plaintext=self._plaintext)

    def put(self, messages: Sequence[Message]) -> None:
        """Publish to the queue; Unconfirmed names what is not safe, and the same replay again sends just that."""
        self._publisher.publish(messages, CONFIRM_S)

    def alone(self) -> AbstractContextManager[None]:
        """Keep nobody away: a worker forgets nothing that it has not acknowledged."""
        return nullcontext()

    def close(self) -> None:
        """Close the publisher's connection."""
        self._publisher.close()

    @cached_property
    def _first(self) -> tuple[int, Message] | None:
        return stream.first(self._url, allow_plaintext=self._plaintext)


class LogSource:
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
