"""A runner's account at a real RabbitMQ: it may tell its own project's results, and ask; nothing else."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from testbus_broker import stream
from testbus_broker.declare import declare
from testbus_broker.errors import RefusedError, Unconfirmed
from testbus_broker.message import Message
from testbus_broker.publisher import ConfirmedPublisher
from testbus_broker.queues import purge
from testbus_broker.requests import ask
from testbus_broker.topology import Subscription, Topology
from tests.pipeline.brokers import answer_one, bodies, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.private_rabbitmq import PrivateRabbitMQ

GATES = Subscription(name="gates", patterns=("results.recorded.*",))


def test_a_runner_may_tell_and_ask_only(private_rabbitmq: Callable[[], PrivateRabbitMQ]) -> None:
    """Its own project's results are confirmed and its question answered; forging, reading and purging are refused."""
    server = private_rabbitmq()
    declare(server.url, Topology.of([GATES]))
    server.control("add_user", "runner", "secret")
    server.control("set_permissions", "runner", "^$", r"^testbus\.(events|requests)$", "^$")
    told = r"producer\.(started|heartbeat|finished)|tests\.collected|(results|coverage|artifact)\.recorded"
    own = rf"^({told}|shards\.announced)\.shop$"
    server.control("set_topic_permissions", "runner", "testbus.events", own, "^$")
    url = server.url.replace("guest:guest", "runner:secret")
    publisher = ConfirmedPublisher(url)
    publisher.publish([event("mine", "results.recorded.shop")], 10)
    for forged in ("results.recorded.other", "gate.evaluated.shop", "run.completed.shop"):
        with pytest.raises(Unconfirmed, match="ACCESS_REFUSED"):
            publisher.publish([event("forged", forged)], 10)
    dead = Message(body=b"", exchange="", routing_key=GATES.dead)
    with pytest.raises(Unconfirmed, match="ACCESS_REFUSED"):
        publisher.publish([dead], 10)
    publisher.publish([replace(event("mine too"), routing_key="tests.collected.shop")], 10)
    publisher.close(5)
    with pytest.raises(RefusedError, match="ACCESS_REFUSED"):
        purge(url, GATES.queue)
    with pytest.raises(Unconfirmed, match="ACCESS_REFUSED"):
        list(stream.read(url))
    assert bodies(server.url, GATES.queue) == ["mine"]
    answering = threading.Thread(target=answer_one, args=(server.url, GATES.queue))
    answering.start()
    assert ask(url, b"run 1", 20) == b"passed run 1"
    answering.join(20)
