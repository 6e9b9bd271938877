"""The past at a broker: read from the stream, sent to one queue with a window of confirms."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from testbus_broker import queues, stream
from testbus_broker.publisher import ConfirmedPublisher
from testbus_broker.topology import STREAM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from testbus_broker.message import Message

#: Seconds that the confirms of one batch may take.
CONFIRM_S: Final = 60.0

#: How much earlier than the range the stream is read: producers' clocks and the broker's differ.
_CLOCKS: Final = timedelta(hours=1)


class BrokerPlace:
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
