"""The link to wherever events go: opened when it is first needed, never raising for what a network does."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from testbus_producers.settings import endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_broker.message import Message
    from testbus_broker.publisher import Publisher


#: Bound in seconds of a publication while nothing was confirmed yet: who refuses is soon told from who is slow.
FIRST_TIMEOUT_S: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class LinkState:
    """What is known of a link after its last publication."""

    #: Whether something was confirmed, and nothing failed since.
    connected: bool = False
    #: Whether the last publication failed only because its time was over.
    slow: bool = False
    #: Why the last publication failed; None when it did not.
    reason: str | None = None


class BrokerLink:
    """A publisher that says what was confirmed, and keeps the reason of the last failure. For one thread."""

    def __init__(self, url: str, *, allow_plaintext: bool = False) -> None:
        """Only remember where to; `allow_plaintext` permits amqp:// to another machine."""
        self._url = url
        self._allow_plaintext = allow_plaintext
        self._publisher: Publisher | None = None
        self._confirmed = False
        #: Whether the last publication failed only because its time was over.
        self.slow = False
        #: Why the last publication failed; None when it did not.
        self.reason: str | None = None

    @property
    def connected(self) -> bool:
        """Tell whether something was confirmed, and nothing failed since."""
        return self._publisher is not None and self.reason is None

    @property
    def state(self) -> LinkState:
        """Return what is known after the last publication."""
        return LinkState(connected=self.connected, slow=self.slow, reason=self.reason)

    def prepare(self) -> None:
        """Import what publishing needs; nothing is connected. A URL that cannot be used is the reason from then on."""
        from testbus_broker import errors, publisher  # noqa: PLC0415 pika is imported here, off the test thread

        try:
            self._publisher = publisher.open_publisher(self._url, allow_plaintext=self._allow_plaintext)
        except errors.BrokerError as error:
            self.reason = str(error)

    def reachable(self, timeout: float) -> bool:
        """Tell whether somebody listens there; only asked after a failure, for then waiting may be in vain."""
        if self.reason is None:
            return True
        fault = reachable(self._url, timeout)
        self.reason = fault or self.reason
        return fault is None

    def publish(self, messages: Sequence[Message], timeout: float) -> frozenset[str | None]:
        """Return the message ids of what was confirmed within `timeout` seconds; at first it waits less."""
        from testbus_broker import errors  # noqa: PLC0415 see `prepare`

        started = time.monotonic()
        if not self._confirmed:
            timeout = min(timeout, FIRST_TIMEOUT_S)
        if self._publisher is None:
            self.prepare()
        if self._publisher is None:
            self.slow = False
            return frozenset()
        try:
            self._publisher.publish(messages, timeout)
        except errors.Unconfirmed as error:
            self.reason = error.reason
            self.slow = time.monotonic() - started >= timeout
            missing = {message.message_id for message in error.unconfirmed}
            return frozenset(message.message_id for message in messages) - missing
        except (errors.BrokerError, OSError) as error:
            self.reason = str(error)
            self.slow = False
            return frozenset()
        self.reason = None
        self._confirmed = True
        return frozenset(message.message_id for message in messages)

    def close(self, timeout: float) -> None:
        """Close the connection, within `timeout` seconds."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.close(timeout)


def reachable(url: str, timeout: float) -> str | None:
    """Return why nobody can be reached at a broker's URL, None when somebody listens (or it is no broker's)."""
    place = endpoint(url)
    if place is None:
        return None
    try:
        socket.create_connection(place, timeout=timeout).close()
    except OSError as error:
        return f"no connection: {error.strerror or error}"
    return None
