"""Publishing with confirms: what was published without an error is with the broker, on its disks."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit

from testbus_broker.errors import BrokerUrlError, Unconfirmed
from testbus_broker.event_log import EventLog
from testbus_broker.outstanding_confirms import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_broker.message import Message
    from testbus_broker.publisher_thread import BrokerConnection

#: How many messages may wait for their confirm at the same time.
WINDOW: Final = 1000

#: Seconds that `close` waits by default.
CLOSE_S: Final = 2.0


class Publisher(Protocol):
    """Where messages are published: the broker, or the log of a home."""

    def publish(self, messages: Sequence[Message], timeout: float) -> None:
        """Return when all messages are safe, at the latest after `timeout` seconds.

        Raises Unconfirmed with exactly those messages that are not known to be safe; publish them again with the same
        ids. May be called by several threads.
        """

    def close(self, timeout: float) -> None:
        """Give up the connection, within so many seconds; publishing in other threads ends with Unconfirmed."""


def open_publisher(url: str, *, allow_plaintext: bool = False) -> Publisher:
    """Return a publisher for `amqp(s)://user:password@host/vhost`, or for `file:///path/of/TESTBUS_HOME`.

    Nothing is connected or created before the first publish. `allow_plaintext` permits amqp:// to another machine.
    Raises BrokerUrlError.
    """
    if url.startswith("file:"):
        return EventLog(home_of(url))
    return ConfirmedPublisher(url, allow_plaintext=allow_plaintext)


def home_of(url: str) -> Path:
    """Return the folder that a `file:///path` names; BrokerUrlError when it is not absolute or names a host."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not path.is_absolute():
        raise BrokerUrlError(f"{url!r} names no folder: write file:///absolute/path")
    return path


class ConfirmedPublisher:
    """Publishes to RabbitMQ, persistent and mandatory, with a window of confirms.

    A daemon thread owns the connection, serves its heartbeats while nobody publishes, and connects when there is
    something to publish: at once, then with growing pauses. In the child of a fork it opens a connection of its own.
    """

    def __init__(self, url: str, *, window: int = WINDOW, allow_plaintext: bool = False) -> None:
        """Take where to publish; nothing is connected yet. Raises BrokerUrlError for a URL that cannot work."""
        from testbus_broker import connection  # noqa: PLC0415 pika is paid for by those who publish to a broker

        self._parameters = connection.parameters(url, allow_plaintext=allow_plaintext, name="testbus publisher")
        self._endpoint = connection.endpoint(url)
        self._window = window
        self._link: BrokerConnection | None = None
        self._inherited: list[BrokerConnection | None] = []
        self._closed = False
        self._begin_process()

    def publish(self, messages: Sequence[Message], timeout: float) -> None:
        """Publish and wait for the confirms; see `Publisher`. Never call it where a test waits."""
        if not messages:
            return
        batch = Batch(messages)
        link = self._current_link()
        if link is None:
            raise Unconfirmed(messages, "the publisher is closed: open another")
        link.submit(batch)
        if not batch.done.wait(timeout):
            batch.give_up(f"{link.state} (after {timeout:g} s)")
        if unconfirmed := batch.unconfirmed():
            raise Unconfirmed(unconfirmed, batch.reason)

    def close(self, timeout: float = CLOSE_S) -> None:
        """Close the connection within so many seconds; closing twice is allowed."""
        if self._pid != os.getpid():
            self._begin_process()
        with self._lock:
            self._closed = True
            link, self._link = self._link, None
        if link:
            link.close(timeout)

    def _begin_process(self) -> None:
        # The parent's connection is kept, unused: to dispose of it could touch a socket that the parent uses.
        self._inherited.append(self._link)
        self._link = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def _current_link(self) -> BrokerConnection | None:
        from testbus_broker.publisher_thread import BrokerConnection  # noqa: PLC0415 the same

        if self._pid != os.getpid():
            self._begin_process()
        with self._lock:
            if not self._closed and (self._link is None or not self._link.alive):
                self._link = BrokerConnection(self._parameters, self._endpoint, self._window)
            return self._link
