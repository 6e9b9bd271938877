"""Reading the stream: every event that was ever published and is not older than its retention."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from pika.exceptions import ChannelClosedByBroker

from testbus_broker.amqp import delivered
from testbus_broker.connection import connected, endpoint
from testbus_broker.errors import BrokerTimeoutError, ConnectionLostError
from testbus_broker.message import Message
from testbus_broker.publisher import ConfirmedPublisher
from testbus_broker.queues import refusal
from testbus_broker.topology import STREAM
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

#: Content type of the marks that readers put into the stream to know its end; every reader skips them.
MARK_TYPE: Final = "application/x-testbus-mark"

#: Messages that the broker sends ahead of their acknowledgement.
PREFETCH: Final = 500

#: Seconds without any message after which the broker is taken for dead.
IDLE_S: Final = 30.0

#: Seconds between heartbeats while reading: long, because the caller may take its time with each message.
_HEARTBEAT_S: Final = 300

_OFFSET: Final = "x-stream-offset"


def read(
    url: str,
    *,
    offset: Literal["first"] | int | datetime = "first",
    idle: float = IDLE_S,
    allow_plaintext: bool = False,
) -> Generator[tuple[int, Message]]:
    """Yield (offset, message) from a place in the stream to its end at the time of the call.

    `offset` is "first" (the oldest that is kept), an offset, or an aware time: then messages that were published
    before it are left out. The end is found by a mark that is published into the stream and read back, because the
    message counts of streams lag; this needs the right to write to the default exchange.
    Raises QueueMissingError, BrokerTimeoutError after `idle` seconds without a message, ConnectFailedError,
    ConnectionLostError, Unconfirmed (the mark).
    """
    mark = _publish_mark(url, allow_plaintext=allow_plaintext)
    since = int(offset.timestamp()) if isinstance(offset, datetime) else None
    with connected(url, allow_plaintext=allow_plaintext, heartbeat=_HEARTBEAT_S) as connection:
        try:
            for position, message in _deliveries(connection.channel(), offset, idle, endpoint(url)):
                if message.content_type != MARK_TYPE:
                    if since is None or message.timestamp is None or message.timestamp >= since:
                        yield position, message
                elif message.message_id == mark:
                    return
        except ChannelClosedByBroker as error:
            raise refusal(error, STREAM, endpoint(url)) from error


def first(url: str, *, allow_plaintext: bool = False) -> tuple[int, Message] | None:
    """Return the oldest event that the stream still has, with its offset; None when it has none."""
    with closing(read(url, allow_plaintext=allow_plaintext)) as events:
        return next(events, None)


def _publish_mark(url: str, *, allow_plaintext: bool) -> str:
    mark = Message(body=b"", routing_key=STREAM, exchange="", content_type=MARK_TYPE, message_id=new_id())
    publisher = ConfirmedPublisher(url, allow_plaintext=allow_plaintext)
    try:
        publisher.publish([mark], IDLE_S)
    finally:
        publisher.close()
    return str(mark.message_id)


def _deliveries(channel: Any, offset: object, idle: float, where: str) -> Iterator[tuple[int, Message]]:
    channel.basic_qos(prefetch_count=PREFETCH)
    arguments = {_OFFSET: offset}
    for count, (method, received, body) in enumerate(
        channel.consume(STREAM, arguments=arguments, inactivity_timeout=idle), start=1
    ):
        if method is None:
            raise BrokerTimeoutError(f"{where} sent nothing of {STREAM} for {idle:g} s: try again later")
        if count % (PREFETCH // 2) == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        yield received.headers[_OFFSET], delivered(method, received, body)
    raise ConnectionLostError(f"{where} ended the reading of {STREAM} before its end: was it deleted? Try again")
