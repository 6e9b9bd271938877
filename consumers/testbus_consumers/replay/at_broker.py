"""The past at a broker: read from the stream, sent to one queue with a window of confirms."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from testbus_broker import queues, stream
from testbus_broker.publisher import ConfirmedPublisher
from testbus_broker.topology import STREAM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from testbus_broker.message import Message
    from testbus_consumers.replay.selection import Selection

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

    @property
    def total(self) -> int | None:
        """Return about how many messages the stream has; the broker's count lags a little."""
        depth = queues.depths(self._url, [STREAM], allow_plaintext=self._plaintext)[STREAM]
        return depth.messages if depth else None

    def oldest(self) -> Message | None:
        """Return the oldest event of the stream; raises what `stream.read` raises."""
        found = stream.first(self._url, allow_plaintext=self._plaintext)
        return found[1] if found else None

    def events(self, selection: Selection) -> Iterator[Message]:
        """Yield the stream to its end as it is now; raises what `stream.read` raises."""
        offset: datetime | Literal["first"] = selection.since - _CLOCKS if selection.since else "first"
        for _, message in stream.read(self._url, offset=offset, allow_plaintext=self._plaintext):
            yield message

    def put(self, messages: Sequence[Message]) -> None:
        """Publish to the queue; Unconfirmed names what is not safe, and the same replay again sends just that."""
        self._publisher.publish(messages, CONFIRM_S)

    def close(self) -> None:
        """Close the publisher's connection."""
        self._publisher.close()
