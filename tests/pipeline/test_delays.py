"""The retry delays at a real RabbitMQ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.support import wait_until
from testbus_broker import message as headers
from testbus_broker.connection import connected
from testbus_broker.publisher import open_publisher
from testbus_broker.queues import depths
from testbus_broker.topology import Queue, Subscription, Topology
from tests.pipeline.brokers import bodies, event, subscribed, taken

if TYPE_CHECKING:
    from testbus_broker.message import Message


def waiting(url: str, queue: str) -> int:
    """Return how many messages wait in a queue."""
    depth = depths(url, [queue])[queue]
    assert depth is not None
    return depth.messages


def delayed(subscription: Subscription, text: str) -> Message:
    """Return an event on its way to the first retry delay."""
    return replace(
        event(text),
        exchange="",
        routing_key=subscription.delay(5),
        headers={headers.ATTEMPT: 1, headers.ROUTING_KEY: "results.recorded.shop"},
    )


def test_a_delayed_event_comes_back_to_its_own_queue_only(amqp_url: str) -> None:
    """After the step's time it is in the queue that it was delayed for, with its headers, and in no other."""
    mine, other = subscribed(amqp_url, "results.#"), subscribed(amqp_url, "results.#")
    publisher = open_publisher(amqp_url)
    publisher.publish([delayed(mine, "1")], 10)
    publisher.close(5)
    assert bodies(amqp_url, mine.queue) == []
    wait_until(lambda: waiting(amqp_url, mine.queue) == 1, 20, "the event is back")
    (message,) = taken(amqp_url, mine.queue)
    assert (message.message_id, message.headers[headers.ATTEMPT]) == ("1", 1)
    assert message.first_routing_key == "results.recorded.shop"
    assert bodies(amqp_url, other.queue) == []


def test_a_queue_that_is_gone_keeps_nobody_elses_events(amqp_url: str) -> None:
    """Delayed events for a deleted queue wait, and are delivered once it is declared again."""
    gone, other = subscribed(amqp_url), subscribed(amqp_url)
    with connected(amqp_url) as connection:
        connection.channel().queue_delete(gone.queue)
    publisher = open_publisher(amqp_url)
    publisher.publish([delayed(gone, str(number)) for number in range(40)] + [delayed(other, "other")], 10)
    publisher.close(5)
    wait_until(lambda: waiting(amqp_url, other.queue) == 1, 20, "the other queue's event is back")


def test_the_steps_are_the_topologys(amqp_url: str) -> None:
    """Every retry delay has its queue."""
    subscription = subscribed(amqp_url)
    names = [queue.name for queue in Topology.of([subscription]).queues if is_delay(queue)]
    assert names == [subscription.delay(seconds) for seconds in (5, 30, 120, 600)]
    assert None not in depths(amqp_url, names).values()


def is_delay(queue: Queue) -> bool:
    """Tell whether a queue is a retry delay."""
    return queue.kind == "delay"
