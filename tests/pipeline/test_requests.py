"""Asking for a verdict through a real RabbitMQ."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from testbus_broker.connection import connected
from testbus_broker.declare import declare
from testbus_broker.errors import ConnectFailedError, QueueMissingError, RefusedError
from testbus_broker.queues import purge
from testbus_broker.requests import ask
from testbus_broker.topology import REQUESTS_EXCHANGE, Subscription, Topology
from tests.pipeline.brokers import answer_one

if TYPE_CHECKING:
    from collections.abc import Iterator

GATES = Subscription(name="gates")


@pytest.fixture
def gates(amqp_url: str) -> Iterator[None]:
    """Declare the queue of the gates, and empty it afterwards."""
    declare(amqp_url, Topology.of([GATES]))
    yield
    purge(amqp_url, GATES.queue)


@pytest.mark.usefixtures("gates")
def test_a_question_is_answered(amqp_url: str) -> None:
    """The asker gets the answer to its own question, and the answering publisher its confirm."""
    answering = threading.Thread(target=answer_one, args=(amqp_url, GATES.queue))
    answering.start()
    assert ask(amqp_url, b"run 1", 20) == b"passed run 1"
    answering.join(20)
    assert not answering.is_alive()


@pytest.mark.usefixtures("gates")
def test_nobody_answers_in_time(amqp_url: str) -> None:
    """Without an answer the asker gets None after its time, not before."""
    assert ask(amqp_url, b"run 1", 0.3) is None


def test_nobody_could_ever_answer(amqp_url: str) -> None:
    """Without a queue for the question the asker is told at once what to do."""
    declare(amqp_url, Topology.of([GATES]))
    with connected(amqp_url) as connection:
        connection.channel().queue_delete(GATES.queue)
    with pytest.raises(QueueMissingError, match="testbus broker declare"):
        ask(amqp_url, b"run 1", 30)


def test_a_broker_without_the_topology(amqp_url: str) -> None:
    """Without the exchange of requests the broker's words are in the error."""
    with connected(amqp_url) as connection:
        connection.channel().exchange_delete(REQUESTS_EXCHANGE)
    with pytest.raises(RefusedError, match="no exchange"):
        ask(amqp_url, b"run 1", 30)


def test_no_broker(amqp_url: str) -> None:
    """An unreachable broker is an error, not silence."""
    with pytest.raises(ConnectFailedError, match="virtual host"):
        ask(f"{amqp_url}-none", b"run 1", 5)
