"""Reading the stream: every event that was ever published and is not older than its retention."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from pika.exceptions import ChannelClosedByBroker, NackError, UnroutableError

from testbus_broker.amqp import delivered, properties
from testbus_broker.connection import connected, endpoint
from testbus_broker.errors import BrokerTimeoutError, ConnectionLostError, QueueMissingError
from testbus_broker.message import Message
from testbus_broker.queues import refusal
from testbus_broker.topology import STREAM
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Generator

#: Content type of the marks that readers put into the stream to know its end; every reader skips them.
MARK_TYPE: Final = "application/x-testbus-mark"

#: Messages that the broker sends ahead of their acknowledgement.
PREFETCH: Final = 500

#: Seconds without any message after which the broker is taken for dead.
IDLE_S: Final = 30.0

#: Seconds of silence after which a reader looks whether anything is to come.
_LOOK_S: Final = 0.5

#: Seconds between heartbeats while reading: long, because the caller may take its time with each message.
_HEARTBEAT_S: Final = 300

_OFFSET: Final = "x-stream-offset"

#: Where reading begins: at the oldest message that is kept, at an offset, or at an aware time.
Begin = Literal["first"] | int | datetime


def read(
    url: str, *, offset: Begin = "first", idle: float = IDLE_S, marked: bool = True, allow_plaintext: bool = False
) -> Generator[tuple[int, Message]]:
    """Yield (offset, message) from a place in the stream to its end at the time of the call.

    `offset` is "first" (the oldest that is kept), an offset, or an aware time: then messages that were published
    before it are left out. A place that is not there yet has nothing. The end is found by a mark that is published into
    the stream and read back, because the message counts of streams lag; this needs the right to write to the default
    exchange. Without `marked` that is done only when nothing comes any more: for who stops reading before.
    Raises QueueMissingError, BrokerTimeoutError after `idle` seconds without a message, ConnectFailedError,
    ConnectionLostError, RefusedError.
    """
    with connected(url, allow_plaintext=allow_plaintext, heartbeat=_HEARTBEAT_S) as connection:
        try:
            marks = {_mark(connection, endpoint(url))} if marked else set()
            yield from _events(connection, offset, idle, endpoint(url), marks)
        except ChannelClosedByBroker as error:
            raise refusal(error, STREAM, endpoint(url)) from error


def first(url: str, *, allow_plaintext: bool = False) -> tuple[int, Message] | None:
    """Return the oldest event that the stream still has, with its offset; None when it has none.

    Raises what `read` raises. Nothing is published unless the stream looks empty.
    """
    with connected(url, allow_plaintext=allow_plaintext) as connection:
        try:
            return next(_events(connection, "first", IDLE_S, endpoint(url), set()), None)
        except ChannelClosedByBroker as error:
            raise refusal(error, STREAM, endpoint(url)) from error


def _events(connection: Any, offset: Begin, idle: float, where: str, marks: set[str]) -> Generator[tuple[int, Message]]:
    """Yield the events from a place up to the first of our marks; one is published when nothing comes and none was."""
    since = int(offset.timestamp()) if isinstance(offset, datetime) else 0
    for found in _deliveries(connection.channel(), offset, idle, where):
        if found is None:
            if isinstance(offset, int) and offset > _end(connection, idle, where):
                return
            if not marks or (since and len(marks) == 1):
                # A time that the broker's clock has not reached begins behind the mark, and before this one.
                marks.add(_mark(connection, where))
            continue
        position, message = found
        if message.content_type != MARK_TYPE:
            if message.timestamp is None or message.timestamp >= since:
                yield position, message
        elif message.message_id in marks:
            return


def _end(connection: Any, idle: float, where: str) -> int:
    """Return the offset of a message that was published just now."""
    mark = _mark(connection, where)
    with closing(_deliveries(connection.channel(), "last", idle, where)) as latest:
        for found in latest:
            if found is not None and found[1].message_id == mark:
                return found[0]
    raise AssertionError(mark)  # _deliveries ends with an error only


def _mark(connection: Any, where: str) -> str:
    """Publish a mark and return its id, once it is in the stream."""
    mark = Message(body=b"", routing_key=STREAM, exchange="", content_type=MARK_TYPE, message_id=new_id())
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        channel.basic_publish("", STREAM, mark.body, properties(mark), mandatory=True)
    except UnroutableError as error:
        raise QueueMissingError(f"there is no {STREAM} at {where}: run `testbus broker declare`") from error
    except NackError as error:
        raise BrokerTimeoutError(f"{where} does not take messages for {STREAM} now: try again later") from error
    channel.close()
    return str(mark.message_id)


def _deliveries(
    channel: Any, offset: Begin | Literal["last"], idle: float, where: str
) -> Generator[tuple[int, Message] | None]:
    """Yield what comes, marks too, and None after each `_LOOK_S` seconds in which nothing came."""
    channel.basic_qos(prefetch_count=PREFETCH)
    silent = 0.0
    count = 0
    for method, received, body in channel.consume(
        STREAM, arguments={_OFFSET: offset}, inactivity_timeout=min(idle, _LOOK_S)
    ):
        if method is None:
            silent += min(idle, _LOOK_S)
            yield None
            if silent >= idle:
                raise BrokerTimeoutError(f"{where} sent nothing of {STREAM} for {idle:g} s: try again later")
            continue
        silent = 0.0
        count += 1
        if count % (PREFETCH // 2) == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        yield received.headers[_OFFSET], delivered(method, received, body)
    raise ConnectionLostError(f"{where} ended the reading of {STREAM} before its end: was it deleted? Try again")
