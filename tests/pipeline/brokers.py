"""What the tests of the broker room share: queues of their own, and what is in them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.services import unique
from testbus_broker.amqp import delivered
from testbus_broker.connection import connected
from testbus_broker.declare import declare
from testbus_broker.message import Message
from testbus_broker.publisher import open_publisher
from testbus_broker.topology import Subscription, Topology

if TYPE_CHECKING:
    from collections.abc import Callable


def event(text: str, routing_key: str = "results.recorded.shop") -> Message:
    """Return a small event whose id is its body."""
    return Message(body=text.encode(), routing_key=routing_key, message_id=text)


def subscribed(url: str, *patterns: str) -> Subscription:
    """Declare a subscription that no other test has."""
    subscription = Subscription(name=unique("t"), patterns=patterns)
    declare(url, Topology.of([subscription]))
    return subscription


def taken(url: str, queue: str) -> list[Message]:
    """Take everything out of a queue."""
    found = []
    with connected(url) as connection:
        channel = connection.channel()
        while True:
            method, received, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append(delivered(method, received, body))


def bodies(url: str, queue: str) -> list[str]:
    """Take everything out of a queue, and return the bodies."""
    return [message.body.decode() for message in taken(url, queue)]


def answer_one(url: str, queue: str, answer: Callable[[bytes], bytes] = lambda body: b"passed " + body) -> None:
    """Answer one request as the runtime does: through the confirmed publisher, to the address in the request."""
    publisher = open_publisher(url)
    with connected(url) as connection:
        channel = connection.channel()
        for method, received, body in channel.consume(queue, inactivity_timeout=20):
            request = delivered(method, received, body)
            assert request.reply_to
            address = Message(body=answer(body), exchange="", routing_key=request.reply_to)
            for question in ("another question", request.correlation_id):
                publisher.publish([replace(address, correlation_id=question)], 10)
            channel.basic_ack(method.delivery_tag)
            break
    publisher.close(5)
