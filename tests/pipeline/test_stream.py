"""Reading the stream of a real RabbitMQ."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from testbus_broker import stream
from testbus_broker.connection import connected
from testbus_broker.declare import declare
from testbus_broker.errors import ConnectionLostError, QueueMissingError
from testbus_broker.publisher import open_publisher
from testbus_broker.topology import STREAM, Topology
from tests.pipeline.brokers import event

if TYPE_CHECKING:
    from testbus_broker.message import Message


@pytest.fixture(autouse=True)
def declared(amqp_url: str) -> None:
    """Declare the stream."""
    declare(amqp_url, Topology.of([]))


def publish(url: str, *messages: Message) -> None:
    """Publish events."""
    publisher = open_publisher(url)
    publisher.publish(messages, 30)
    publisher.close(5)


def test_everything_is_read_to_the_end(amqp_url: str) -> None:
    """All events that were published before the call come once, in order, with rising offsets, and reading ends."""
    before = list(stream.read(amqp_url))
    texts = [f"stream {number}" for number in range(1500)]
    publish(amqp_url, *(replace(event(text), headers={"x-ci": "yes", "x-testbus-attempt": 1}) for text in texts))
    found = list(stream.read(amqp_url))[len(before) :]
    assert [message.body.decode() for _, message in found] == texts
    offsets = [offset for offset, _ in found]
    assert offsets == sorted(set(offsets))
    _, message = found[0]
    assert (message.routing_key, message.exchange) == ("results.recorded.shop", "testbus.events")
    # Headers survive, but for those that only workers write and that anybody could forge here.
    assert (message.message_id, message.headers) == ("stream 0", {"x-ci": "yes"})
    assert stream.first(amqp_url) == (before or found)[0]


def test_reading_from_an_offset(amqp_url: str) -> None:
    """From an offset on, nothing before it is read."""
    publish(amqp_url, *(event(f"offset {number}") for number in range(5)))
    found = [(offset, message.body) for offset, message in stream.read(amqp_url)][-5:]
    assert [(offset, message.body) for offset, message in stream.read(amqp_url, offset=found[3][0])] == found[3:]


def test_reading_from_a_time(amqp_url: str) -> None:
    """What was published before the time is left out, also when it shares a chunk with later events."""
    now = datetime.now(UTC)
    early = replace(event("early"), timestamp=int((now - timedelta(minutes=1)).timestamp()))
    publish(amqp_url, early, event("late"))
    texts = [message.body for _, message in stream.read(amqp_url, offset=now - timedelta(seconds=2))]
    assert b"late" in texts
    assert b"early" not in texts


def test_readers_may_stop_early(amqp_url: str) -> None:
    """A reader that found what it wanted closes its connection, and the next one reads everything."""
    publish(amqp_url, event("stop"))
    with closing(stream.read(amqp_url)) as events:
        first = next(events)
    assert next(iter(stream.read(amqp_url))) == first


def test_a_place_that_is_not_there_yet_has_nothing(amqp_url: str) -> None:
    """From an offset or a time of the future on there is nothing to read, and nobody waits for it."""
    publish(amqp_url, event("present"))
    assert list(stream.read(amqp_url, offset=1 << 40)) == []
    assert list(stream.read(amqp_url, offset=datetime.now(UTC) + timedelta(hours=1))) == []


def test_an_offset_that_is_taken_next_has_nothing(amqp_url: str) -> None:
    """Whoever goes on behind the last event ends at once, and finds what came since."""
    publish(amqp_url, event("last"))
    *_, (last, _) = stream.read(amqp_url)
    assert list(stream.read(amqp_url, offset=last + 1)) == []
    publish(amqp_url, event("since"))
    assert [message.body for _, message in stream.read(amqp_url, offset=last + 1)] == [b"since"]


def test_the_oldest_event_is_found_without_a_trace(amqp_url: str) -> None:
    """Looking at the oldest event puts nothing into the stream; an empty stream has none."""
    with connected(amqp_url) as connection:
        connection.channel().queue_delete(STREAM)
    declare(amqp_url, Topology.of([]))
    assert stream.first(amqp_url) is None
    publish(amqp_url, event("oldest"), event("next"))
    found = stream.first(amqp_url)
    assert found is not None
    assert found[1].body == b"oldest"
    *_, (last, _) = stream.read(amqp_url)
    assert stream.first(amqp_url) == found
    publish(amqp_url, event("after"))
    *_, (after, _) = stream.read(amqp_url)
    # The two readers' marks, and nothing of the look at the oldest.
    assert after == last + 2


def test_a_stream_that_is_deleted_meanwhile(amqp_url: str) -> None:
    """A reader that is cut off says so; it never takes that for the end."""
    publish(amqp_url, *(event(str(number)) for number in range(2 * stream.PREFETCH)))
    with closing(stream.read(amqp_url)) as events:
        next(events)
        with connected(amqp_url) as connection:
            connection.channel().queue_delete(STREAM)
        with pytest.raises(ConnectionLostError, match="before its end"):
            list(events)


def test_a_stream_that_is_not_there(amqp_url: str) -> None:
    """Without a stream the error says what to do, whoever reads."""
    with connected(amqp_url) as connection:
        connection.channel().queue_delete(STREAM)
    with pytest.raises(QueueMissingError, match="testbus broker declare"):
        list(stream.read(amqp_url))
    with pytest.raises(QueueMissingError, match="testbus broker declare"):
        stream.first(amqp_url)
