"""Looking at queues, and emptying them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pika.exceptions import ChannelClosedByBroker

from testbus_broker.connection import connected, endpoint, explain
from testbus_broker.declare import NOT_FOUND
from testbus_broker.errors import QueueMissingError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How much waits in a queue."""

    #: Messages that are ready for delivery; those that were delivered and not acknowledged are not counted.
    messages: int
    #: Consumers that are attached.
    consumers: int


def depths(url: str, names: Iterable[str], *, allow_plaintext: bool = False) -> dict[str, Depth | None]:
    """Return the depth of each queue, None for one that does not exist.

    Raises ConnectFailedError, ConnectionLostError, RefusedError. For a stream the count lags behind.
    """
    with connected(url, allow_plaintext=allow_plaintext) as connection:
        return {name: _depth(connection, name, endpoint(url)) for name in names}


def purge(url: str, name: str, *, allow_plaintext: bool = False) -> int:
    """Remove what waits in a queue and return how many messages that were; QueueMissingError if there is none."""
    with connected(url, allow_plaintext=allow_plaintext) as connection:
        try:
            count: int = connection.channel().queue_purge(name).method.message_count
        except ChannelClosedByBroker as error:
            raise refusal(error, name, endpoint(url)) from error
        return count


def refusal(error: ChannelClosedByBroker, name: str, where: str) -> QueueMissingError | RefusedError:
    """Return our error for what the broker said about a queue."""
    if error.reply_code == NOT_FOUND:
        return QueueMissingError(f"there is no {name} at {where}: run `testbus broker declare`")
    return RefusedError(f"{where}: {explain(error)}")


def _depth(connection: Any, name: str, where: str) -> Depth | None:
    channel = connection.channel()
    try:
        answer = channel.queue_declare(name, passive=True).method
    except ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise refusal(error, name, where) from error
        return None
    channel.close()
    return Depth(messages=answer.message_count, consumers=answer.consumer_count)
