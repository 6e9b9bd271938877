"""Dead letters at a real RabbitMQ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbus_broker import deadletters
from testbus_broker import message as headers
from testbus_broker.connection import connected
from testbus_broker.errors import QueueMissingError, Unconfirmed
from testbus_broker.publisher import open_publisher
from testbus_broker.queues import depths
from testbus_broker.topology import DELIVERY_LIMIT, Subscription
from tests.pipeline.brokers import bodies, event, subscribed, taken
from tests.support import wait_until


def given_up(url: str, subscription: Subscription, *texts: str) -> None:
    """Put events into the dead-letter queue, as the runtime does."""
    publisher = open_publisher(url)
    story: dict[str, str | int] = {
        headers.ROUTING_KEY: "results.recorded.shop",
        headers.ATTEMPT: 5,
        headers.ERROR: "it broke",
        headers.TRACEBACK: "Traceback …",
        headers.CONSUMER: subscription.name,
        "x-of-somebody": "else",
    }
    letters = [replace(event(text), exchange="", routing_key=subscription.dead, headers=story) for text in texts]
    publisher.publish(letters, 10)
    publisher.close(5)


def count(url: str, queue: str) -> int:
    """Return how many messages wait in a queue."""
    depth = depths(url, [queue])[queue]
    assert depth is not None
    return depth.messages


def test_looking_at_dead_letters_leaves_them(amqp_url: str) -> None:
    """However often they are listed, oldest first, they stay, with their error, traceback and attempts."""
    subscription = subscribed(amqp_url)
    given_up(amqp_url, subscription, "1", "2", "3")
    for _ in range(DELIVERY_LIMIT + 5):
        wait_until(lambda: count(amqp_url, subscription.dead) == 3, 10, "the dead letters are back")
        found = deadletters.listing(amqp_url, subscription, limit=2)
        assert [letter.message.body for letter in found] == [b"1", b"2"]
    assert (found[0].error, found[0].traceback, found[0].attempts) == ("it broke", "Traceback …", 5)


def test_redriving_gives_a_new_chance(amqp_url: str) -> None:
    """Redriven events are in their own queue with the same ids, no attempts, and the key they were published under."""
    subscription, other = subscribed(amqp_url, "#"), subscribed(amqp_url, "#")
    given_up(amqp_url, subscription, *(str(number) for number in range(450)))
    assert deadletters.redrive(amqp_url, subscription) == 450
    found = taken(amqp_url, subscription.queue)
    assert [message.message_id for message in found] == [str(number) for number in range(450)]
    assert dict(found[0].headers) == {headers.ROUTING_KEY: "results.recorded.shop", "x-of-somebody": "else"}
    assert deadletters.listing(amqp_url, subscription) == []
    assert bodies(amqp_url, other.queue) == []


def test_redriving_some(amqp_url: str) -> None:
    """With ids, or a limit, only those go; the others stay."""
    subscription = subscribed(amqp_url)
    given_up(amqp_url, subscription, "1", "2", "3", "4")
    assert deadletters.redrive(amqp_url, subscription, ids={"2", "9"}) == 1
    wait_until(lambda: count(amqp_url, subscription.dead) == 3, 10, "the others are back")
    assert deadletters.redrive(amqp_url, subscription, limit=1) == 1
    assert bodies(amqp_url, subscription.queue) == ["2", "1"]
    assert bodies(amqp_url, subscription.dead) == ["3", "4"]


def test_a_redrive_into_a_queue_that_is_gone_loses_nothing(amqp_url: str) -> None:
    """When the queue does not take them, the dead letters stay where they are."""
    subscription = subscribed(amqp_url)
    given_up(amqp_url, subscription, "1", "2")
    with connected(amqp_url) as connection:
        connection.channel().queue_delete(subscription.queue)
    with pytest.raises(Unconfirmed, match="NO_ROUTE"):
        deadletters.redrive(amqp_url, subscription)
    wait_until(lambda: count(amqp_url, subscription.dead) == 2, 10, "the dead letters are back")


def test_purging(amqp_url: str) -> None:
    """Dead letters are thrown away, all or by id."""
    subscription = subscribed(amqp_url)
    given_up(amqp_url, subscription, "1", "2", "3")
    assert deadletters.purge(amqp_url, subscription, ids=["2"]) == 1
    wait_until(lambda: count(amqp_url, subscription.dead) == 2, 10, "the others are back")
    assert deadletters.purge(amqp_url, subscription) == 2
    assert bodies(amqp_url, subscription.dead) == []


def test_what_the_broker_gives_up_keeps_its_first_key(amqp_url: str) -> None:
    """An event that was delivered too often is a dead letter, says so, and goes back under its first key."""
    subscription = subscribed(amqp_url, "results.recorded.poison")
    publisher = open_publisher(amqp_url)
    publisher.publish([event("1", "results.recorded.poison")], 10)
    publisher.close(5)
    with connected(amqp_url) as connection:
        channel = connection.channel()
        for delivery in channel.consume(subscription.queue, inactivity_timeout=3):
            if delivery[0] is None:
                break
            channel.basic_nack(delivery[0].delivery_tag)
    wait_until(lambda: count(amqp_url, subscription.dead) == 1, 20, "the broker gives it up")
    (letter,) = deadletters.listing(amqp_url, subscription)
    assert letter.error == "given up by the broker: delivery_limit"
    wait_until(lambda: count(amqp_url, subscription.dead) == 1, 10, "the dead letter is back")
    assert deadletters.redrive(amqp_url, subscription) == 1
    (message,) = taken(amqp_url, subscription.queue)
    assert dict(message.headers) == {headers.ROUTING_KEY: "results.recorded.poison"}


def test_dead_letters_of_nobody(amqp_url: str) -> None:
    """A consumer that was never declared has none, and the error says what to do."""
    with pytest.raises(QueueMissingError, match="testbus broker declare"):
        deadletters.listing(amqp_url, Subscription(name="nobody"))
