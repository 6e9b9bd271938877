"""Dead letters at a real RabbitMQ."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from harness.support import wait_until
from testbus_broker import dead_letter_queue, stream
from testbus_broker import message as headers
from testbus_broker.connection import connected
from testbus_broker.dead_letter import Choice
from testbus_broker.errors import QueueMissingError, Unconfirmed
from testbus_broker.message import Message
from testbus_broker.publisher import open_publisher
from testbus_broker.queues import depths
from testbus_broker.topology import DELIVERY_LIMIT, Subscription
from tests.pipeline.brokers import bodies, event, subscribed, taken


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
        found = list(dead_letter_queue.dead_letters(amqp_url, subscription, limit=2))
        assert [letter.message.body for letter in found] == [b"1", b"2"]
    assert (found[0].error, found[0].traceback, found[0].attempts) == ("it broke", "Traceback …", 5)


def test_redriving_gives_a_new_chance(amqp_url: str) -> None:
    """Redriven events are in their own queue with the same ids, no attempts, and the key they were published under."""
    subscription, other = subscribed(amqp_url, "#"), subscribed(amqp_url, "#")
    given_up(amqp_url, subscription, *(str(number) for number in range(450)))
    assert dead_letter_queue.redrive(amqp_url, subscription) == 450
    found = taken(amqp_url, subscription.queue)
    assert [message.message_id for message in found] == [str(number) for number in range(450)]
    assert dict(found[0].headers) == {headers.ROUTING_KEY: "results.recorded.shop", "x-of-somebody": "else"}
    assert list(dead_letter_queue.dead_letters(amqp_url, subscription)) == []
    assert bodies(amqp_url, other.queue) == []


def test_redriving_some(amqp_url: str) -> None:
    """With ids, or a limit, only those go; the others stay."""
    subscription = subscribed(amqp_url)
    given_up(amqp_url, subscription, "1", "2", "3", "4")
    assert dead_letter_queue.redrive(amqp_url, subscription, Choice(ids=frozenset({"2", "9"}))) == 1
    wait_until(lambda: count(amqp_url, subscription.dead) == 3, 10, "the others are back")
    assert dead_letter_queue.redrive(amqp_url, subscription, limit=1) == 1
    assert bodies(amqp_url, subscription.queue) == ["2", "1"]
    # What goes back with a channel that is closed does so in any order.
    assert sorted(bodies(amqp_url, subscription.dead)) == ["3", "4"]


def test_a_redrive_into_a_queue_that_is_gone_loses_nothing(amqp_url: str) -> None:
    """When the queue does not take them, the dead letters stay where they are."""
    subscription = subscribed(amqp_url)
    given_up(amqp_url, subscription, "1", "2")
    with connected(amqp_url) as connection:
        connection.channel().queue_delete(subscription.queue)
    with pytest.raises(Unconfirmed, match="NO_ROUTE"):
        dead_letter_queue.redrive(amqp_url, subscription)
    wait_until(lambda: count(amqp_url, subscription.dead) == 2, 10, "the dead letters are back")


def test_purging(amqp_url: str) -> None:
    """Dead letters are thrown away, all or by id."""
    subscription = subscribed(amqp_url)
    given_up(amqp_url, subscription, "1", "2", "3")
    assert dead_letter_queue.purge(amqp_url, subscription, Choice(ids=frozenset({"2"}))) == 1
    wait_until(lambda: count(amqp_url, subscription.dead) == 2, 10, "the others are back")
    assert dead_letter_queue.purge(amqp_url, subscription) == 2
    assert bodies(amqp_url, subscription.dead) == []


def give_up_at_the_broker(url: str, subscription: Subscription, message: Message) -> dead_letter_queue.DeadLetter:
    """Publish an event that nobody ever answers for, and return the dead letter that the broker makes of it."""
    publisher = open_publisher(url)
    publisher.publish([message], 10)
    publisher.close(5)
    with connected(url) as connection:
        channel = connection.channel()
        for delivery in channel.consume(subscription.queue, inactivity_timeout=3):
            if delivery[0] is None:
                break
            channel.basic_nack(delivery[0].delivery_tag)
    wait_until(lambda: count(url, subscription.dead) == 1, 20, "the broker gives it up")
    (letter,) = dead_letter_queue.dead_letters(url, subscription)
    wait_until(lambda: count(url, subscription.dead) == 1, 10, "the dead letter is back")
    return letter


def test_what_the_broker_gives_up_keeps_its_first_key(amqp_url: str) -> None:
    """An event that was delivered too often is a dead letter, says so and when, and goes back under its first key."""
    subscription = subscribed(amqp_url, "results.recorded.poison")
    began = int(time.time())
    letter = give_up_at_the_broker(amqp_url, subscription, event("1", "results.recorded.poison"))
    assert letter.error == "given up by the broker: delivery_limit"
    assert letter.died_at is not None
    assert began <= letter.died_at <= time.time()
    assert dead_letter_queue.redrive(amqp_url, subscription) == 1
    (message,) = taken(amqp_url, subscription.queue)
    assert dict(message.headers) == {headers.ROUTING_KEY: "results.recorded.poison"}


def test_what_a_publisher_claims_of_itself_is_not_believed(amqp_url: str) -> None:
    """A runner may write any header; after the broker gave its event up it still has the key that its rights allow."""
    subscription = subscribed(amqp_url, "results.recorded.mine")
    claims: dict[str, str | int] = {
        headers.ROUTING_KEY: "results.recorded.yours",
        headers.ATTEMPT: "many",
        headers.ERROR: "nothing to see",
        headers.REPLAYED: "a replay",
        headers.CONSUMER: subscription.name,
        "x-first-death-reason": "boredom",
        "x-of-somebody": "else",
    }
    forged = replace(event("1", "results.recorded.mine"), headers=claims)
    letter = give_up_at_the_broker(amqp_url, subscription, forged)
    assert (letter.project, letter.attempts) == ("mine", 0)
    assert letter.error == "given up by the broker: delivery_limit"
    assert dead_letter_queue.redrive(amqp_url, subscription) == 1
    (message,) = taken(amqp_url, subscription.queue)
    assert dict(message.headers) == {headers.ROUTING_KEY: "results.recorded.mine", "x-of-somebody": "else"}


def test_the_stream_believes_no_claims_either(amqp_url: str) -> None:
    """What is replayed goes under the key that it was published under, whatever its headers say."""
    subscription = subscribed(amqp_url, "results.recorded.replayed-mine")
    claims: dict[str, str | int] = {headers.ROUTING_KEY: "results.recorded.yours", headers.REPLAYED: "a replay"}
    publisher = open_publisher(amqp_url)
    publisher.publish([replace(event("claims", "results.recorded.replayed-mine"), headers=claims)], 10)
    publisher.close(5)
    (seen,) = [message for _, message in stream.read(amqp_url) if message.message_id == "claims"]
    assert (seen.first_routing_key, dict(seen.headers)) == ("results.recorded.replayed-mine", {})
    assert len(taken(amqp_url, subscription.queue)) == 1


def test_many_are_looked_through_in_little_memory(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, each is looked at once, a few are held at a time, and those that are not meant stay."""
    # As if one channel could take 300 only.
    monkeypatch.setattr(dead_letter_queue, "PER_CHANNEL", 300)
    subscription = subscribed(amqp_url)
    given_up(amqp_url, subscription, *(str(number) for number in range(1000)))
    steps: list[tuple[int, int]] = []
    found = dead_letter_queue.dead_letters(
        amqp_url, subscription, progress=lambda seen, there: steps.append((seen, there))
    )
    assert [letter.message.message_id for letter in found] == [str(number) for number in range(1000)]
    assert (steps[0], steps[-1]) == ((1, 1000), (1000, 1000))
    wait_until(lambda: count(amqp_url, subscription.dead) == 1000, 20, "the dead letters are back")
    odd = Choice(ids=frozenset(str(number) for number in range(1, 1000, 2)))
    assert dead_letter_queue.redrive(amqp_url, subscription, odd, limit=400) == 400
    wait_until(lambda: count(amqp_url, subscription.dead) == 600, 20, "the others are back")
    assert dead_letter_queue.purge(amqp_url, subscription, odd) == 100
    wait_until(lambda: count(amqp_url, subscription.dead) == 500, 20, "the others are back")
    # Several channels give back what they took as the broker gets to them: the order is lost.
    assert sorted(map(int, bodies(amqp_url, subscription.dead))) == list(range(0, 1000, 2))
    back = {int(body) for body in bodies(amqp_url, subscription.queue)}
    assert len(back) == 400
    assert back < set(range(1, 1000, 2))


@pytest.mark.parametrize(
    "choice",
    [
        Choice(error="disk", since=150.0),
        Choice(type="producer.started"),
        Choice(project="shop", run="run-1"),
        Choice(until=250.0, since=150.0),
        Choice(ids=frozenset({"2"}), error="full"),
    ],
    ids=repr,
)
def test_choosing(amqp_url: str, choice: Choice) -> None:
    """By id, error, type, run, project and time, and everything that is given has to fit: here always the second."""
    subscription = subscribed(amqp_url)
    story = [
        ("1", "results.recorded.shop", "run-0", "disk full", 100),
        ("2", "producer.started.shop", "run-1", "disk full", 200),
        ("3", "results.recorded.web", "run-1", "it broke", 300),
    ]
    letters = [
        Message(
            body=json.dumps({"subject": run}).encode(), exchange="", routing_key=subscription.dead, message_id=name,
            timestamp=died, headers={headers.ROUTING_KEY: key, headers.ERROR: error},
        )
        for name, key, run, error, died in story
    ]  # fmt: skip
    publisher = open_publisher(amqp_url)
    publisher.publish(letters, 10)
    publisher.close(5)
    assert [letter.message.message_id for letter in dead_letter_queue.dead_letters(amqp_url, subscription, choice)] == [
        "2"
    ]


def test_dead_letters_of_nobody(amqp_url: str) -> None:
    """A consumer that was never declared has none, and the error says what to do."""
    with pytest.raises(QueueMissingError, match="testbus broker declare"):
        list(dead_letter_queue.dead_letters(amqp_url, Subscription(name="nobody")))
