"""Confirmed publishing to a real RabbitMQ."""

from __future__ import annotations

import multiprocessing
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from testbus_broker.connection import connected
from testbus_broker.errors import Unconfirmed
from testbus_broker.message import Message
from testbus_broker.publisher import ConfirmedPublisher
from tests.pipeline.brokers import bodies, event, subscribed, taken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_broker.topology import Subscription


@pytest.fixture
def publisher(amqp_url: str) -> Iterator[ConfirmedPublisher]:
    """Give a publisher to this run's virtual host, with a small window."""
    publisher = ConfirmedPublisher(amqp_url, window=100)
    yield publisher
    publisher.close(5)


@pytest.fixture
def queue(amqp_url: str) -> Subscription:
    """Give a subscription of this test's own."""
    return subscribed(amqp_url)


def to(queue: Subscription, text: str) -> Message:
    """Return a message for one queue."""
    return replace(event(text), exchange="", routing_key=queue.queue)


def test_messages_arrive_in_order_with_their_properties(
    amqp_url: str, publisher: ConfirmedPublisher, queue: Subscription
) -> None:
    """Body, headers, ids and encodings arrive as they were given; the time is set."""
    message = Message(
        body=b"\x00\xff",
        exchange="",
        routing_key=queue.queue,
        headers={"x-testbus-attempt": 2, "x-testbus-error": "ü"},
        content_encoding="gzip",
        message_id="m",
        reply_to="r",
        correlation_id="c",
    )
    publisher.publish([message, to(queue, "2")], 10)
    first, second = taken(amqp_url, queue.queue)
    assert first == replace(message, timestamp=first.timestamp)
    assert first.timestamp is not None
    assert second.body == b"2"


def test_more_than_a_window_is_published(amqp_url: str, publisher: ConfirmedPublisher, queue: Subscription) -> None:
    """A batch larger than the window is confirmed as a whole, in order."""
    texts = [str(number) for number in range(1000)]
    publisher.publish([to(queue, text) for text in texts], 30)
    assert bodies(amqp_url, queue.queue) == texts


def test_what_no_queue_takes_is_told_from_the_rest(
    amqp_url: str, publisher: ConfirmedPublisher, queue: Subscription
) -> None:
    """Unroutable messages, equal ones included, are exactly those that stay unconfirmed."""
    lost = replace(to(queue, "lost"), routing_key="testbus.queue.none")
    with pytest.raises(Unconfirmed, match="NO_ROUTE") as caught:
        publisher.publish([to(queue, "1"), lost, to(queue, "2"), lost, to(queue, "3")], 10)
    assert caught.value.unconfirmed == (lost, lost)
    assert bodies(amqp_url, queue.queue) == ["1", "2", "3"]


def test_a_missing_exchange_does_not_spoil_the_publisher(
    amqp_url: str, publisher: ConfirmedPublisher, queue: Subscription
) -> None:
    """The broker's words are in the error, and the next batch goes through."""
    with pytest.raises(Unconfirmed, match="NOT_FOUND - no exchange 'nowhere'") as caught:
        publisher.publish([replace(event("1"), exchange="nowhere")], 10)
    assert len(caught.value.unconfirmed) == 1
    publisher.publish([to(queue, "2")], 10)
    assert bodies(amqp_url, queue.queue) == ["2"]


def test_a_full_queue_says_so(amqp_url: str, publisher: ConfirmedPublisher) -> None:
    """What the broker refuses to take (nack) stays unconfirmed."""
    with connected(amqp_url) as connection:
        name = connection.channel().queue_declare(
            "", durable=False, exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        ).method.queue  # fmt: skip
        messages = [replace(event(text), exchange="", routing_key=name) for text in ("1", "2", "3")]
        with pytest.raises(Unconfirmed, match="nack") as caught:
            publisher.publish(messages, 10)
    assert {message.body for message in caught.value.unconfirmed} < {b"1", b"2", b"3"}


@pytest.mark.parametrize(
    "headers", [{"x": "ä" * 100_001}, {"x" * 300: "too long a name"}, {"x": 1 << 70}], ids=["size", "name", "number"]
)
def test_a_message_that_cannot_be_sent_is_refused_alone(
    amqp_url: str, publisher: ConfirmedPublisher, queue: Subscription, headers: dict[str, str | int]
) -> None:
    """Headers that AMQP cannot carry cost that message only, not the connection."""
    bad = replace(to(queue, "bad"), headers=headers)
    with pytest.raises(Unconfirmed, match="cannot be sent") as caught:
        publisher.publish([to(queue, "1"), bad, to(queue, "2")], 10)
    assert caught.value.unconfirmed == (bad,)
    assert bodies(amqp_url, queue.queue) == ["1", "2"]


def test_threads_share_a_publisher(amqp_url: str, publisher: ConfirmedPublisher, queue: Subscription) -> None:
    """Batches of several threads are confirmed each for itself, in each one's order."""

    def publish(mark: str) -> None:
        for number in range(5):
            publisher.publish([to(queue, f"{mark}{number}{part}") for part in "abc"], 30)

    threads = [threading.Thread(target=publish, args=(mark,)) for mark in "wxyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = bodies(amqp_url, queue.queue)
    for mark in "wxyz":
        expected = [f"{mark}{number}{part}" for number in range(5) for part in "abc"]
        assert [text for text in found if text.startswith(mark)] == expected


def test_a_forked_child_publishes_over_a_connection_of_its_own(
    amqp_url: str, publisher: ConfirmedPublisher, queue: Subscription
) -> None:
    """A publisher that was used before a fork works in parent and child."""
    publisher.publish([to(queue, "parent")], 10)
    child = multiprocessing.get_context("fork").Process(target=publisher.publish, args=([to(queue, "child")], 10))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    publisher.publish([to(queue, "parent again")], 10)
    assert bodies(amqp_url, queue.queue) == ["parent", "child", "parent again"]


def test_a_closed_publisher_refuses(publisher: ConfirmedPublisher, queue: Subscription) -> None:
    """After close nothing is published, and the error says so."""
    publisher.publish([to(queue, "1")], 10)
    publisher.close(5)
    publisher.close(5)
    with pytest.raises(Unconfirmed, match="closed"):
        publisher.publish([to(queue, "2")], 10)


def test_a_wrong_password_is_said_at_once(amqp_url: str) -> None:
    """The caller does not wait for its time-out, and neither password is shown."""
    publisher = ConfirmedPublisher(amqp_url.replace("guest:guest@", "guest:hunter2@"))
    with pytest.raises(Unconfirmed, match="refused the user or the password") as caught:
        publisher.publish([event("1")], 60)
    publisher.close(5)
    assert "hunter2" not in str(caught.value)
