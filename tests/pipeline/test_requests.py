"""Asking for a verdict through a real RabbitMQ."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from testbus.commands.verdict import wait
from testbus.errors import CliError, TemporaryError
from testbus_broker.connection import account as connection_user
from testbus_broker.connection import connected
from testbus_broker.declare import declare
from testbus_broker.errors import ConnectFailedError, QueueMissingError, RefusedError
from testbus_broker.message import Message
from testbus_broker.publisher import Publisher, open_publisher
from testbus_broker.queues import purge
from testbus_broker.topology import REQUESTS_EXCHANGE, Subscription, Topology
from testbus_broker.verdict_requests import ask
from testbus_consumers.runtime.delivery import Answer, Delivery
from testbus_consumers.testing import run_context
from testbus_consumers.worker.amqp_actions import AmqpActions
from tests.pipeline.brokers import answer_one, bodies, taken
from tests.pipeline.weak_wire import weak_wire

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTS = Subscription(name="requests")


@pytest.fixture
def declared(amqp_url: str) -> Iterator[None]:
    """Declare the queue of requests, and empty it afterwards."""
    declare(amqp_url, Topology.of([REQUESTS]))
    yield
    purge(amqp_url, REQUESTS.queue)


@pytest.mark.usefixtures("declared")
def test_a_question_is_answered(amqp_url: str) -> None:
    """The asker gets the answer to its own question, and the answering publisher its confirm."""
    answering = threading.Thread(target=answer_one, args=(amqp_url, REQUESTS.queue))
    answering.start()
    assert ask(amqp_url, b"run 1", 20) == b"passed run 1"
    answering.join(20)
    assert not answering.is_alive()


@pytest.mark.usefixtures("declared")
def test_nobody_answers_in_time(amqp_url: str) -> None:
    """Without an answer the asker gets None after its time, not before."""
    assert ask(amqp_url, b"run 1", 0.3) is None


def test_nobody_could_ever_answer(amqp_url: str) -> None:
    """Without a queue for the question the asker is told at once what to do."""
    declare(amqp_url, Topology.of([REQUESTS]))
    with connected(amqp_url) as connection:
        connection.channel().queue_delete(REQUESTS.queue)
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


#: Addresses that are none of direct reply-to, and some that a broker cannot read: it closes the connection over them.
FORGED = (
    None,
    "",
    "nobody-listens-here",
    REQUESTS.queue,
    "amq.rabbitmq.reply-to",
    "amq.rabbitmq.reply-to.",
    "amq.rabbitmq.reply-to.x",
    "amq.rabbitmq.reply-to.abc.def",
    "amq.rabbitmq.reply-to.g2QAA2FiYw==.AAAA",
    "x" * 255,
)


def answering(url: str) -> tuple[AmqpActions, Publisher]:
    """Return what the worker of requests answers with, and what it publishes everything else with."""
    publisher, answers = open_publisher(url), open_publisher(url)
    return AmqpActions(subscription=REQUESTS, publisher=publisher, answers=answers, url=url), publisher


def request_to(address: str | None) -> Delivery:
    """Return a request that wants its answer at an address."""
    return Delivery(body=b"", content_encoding=None, routing_key=None, reply_to=address, correlation_id="1")


@pytest.mark.usefixtures("declared")
def test_a_forged_address_holds_nobody_up_and_is_written_nowhere(amqp_url: str) -> None:
    """Only direct reply-to is answered; an answer that cannot go anywhere is left, and the worker goes on at once."""
    actions, publisher = answering(amqp_url)
    began = time.monotonic()
    for number, address in enumerate(FORGED):
        actions.answer(request_to(address), Answer(body=b"passed", asker=f"forger {number}"))
    assert time.monotonic() - began < 10
    assert taken(amqp_url, REQUESTS.queue) == []
    # Neither was the connection lost that events go by.
    publisher.publish([Message(body=b"1", exchange="", routing_key=REQUESTS.queue)], 10)
    assert bodies(amqp_url, REQUESTS.queue) == ["1"]
    actions.answers.close(5)
    publisher.close(5)


@pytest.mark.usefixtures("declared")
def test_who_breaks_the_connection_of_answers_is_not_answered_for_a_while(amqp_url: str) -> None:
    """Others are, whatever it sends meanwhile."""
    actions, publisher = answering(amqp_url)
    answer = threading.Thread(target=answer_with, args=(amqp_url, actions))
    answer.start()
    assert ask(amqp_url, b"run 1", 20) == b"passed"
    answer.join(20)
    actions.answers.close(5)
    publisher.close(5)


def answer_with(url: str, actions: AmqpActions) -> None:
    """Answer one request, after and between many of a forger."""
    with connected(url) as connection:
        for _, received, body in connection.channel().consume(REQUESTS.queue, inactivity_timeout=20):
            assert received.user_id == connection_user(url)
            for _ in range(20):
                actions.answer(request_to("amq.rabbitmq.reply-to.abc.def"), Answer(body=b"", asker="forger"))
            request = replace(request_to(received.reply_to), correlation_id=received.correlation_id)
            actions.answer(request, Answer(body=b"passed", asker=body.decode()))
            break


@pytest.mark.usefixtures("declared")
def test_waiting_for_a_verdict_outlives_a_broker_that_is_away(amqp_url: str) -> None:
    """Unreachable at first, and once while it is asked: said once each time, and the verdict comes all the same."""
    context = run_context()
    verdict = b'{"status": "decided", "evaluation": {"verdict": "passed"}}'
    answer = threading.Thread(target=answer_one, args=(amqp_url, REQUESTS.queue), kwargs={"answer": lambda _: verdict})
    told: list[str] = []
    # Reset: at once, in the middle of the handshake, and once the channel is open.
    with weak_wire(amqp_url, cuts=[0, 400, 700]) as url:
        answer.start()
        assert wait(url, None, context, 60, report=told.append) == json.loads(verdict)
    answer.join(20)
    assert len(told) == 1
    assert "asking again for" in told[0]


def test_a_broker_that_never_answers_is_the_error_at_the_end(amqp_url: str) -> None:
    """Not "no verdict": nobody was asked."""
    with weak_wire(amqp_url, cuts=[0] * 20) as url, pytest.raises(TemporaryError, match=r"127\.0\.0\.1"):
        wait(url, None, run_context(), 1.5)


def test_who_is_not_let_in_does_not_wait(amqp_url: str) -> None:
    """A wrong password is an error at once, however long one would wait."""
    began = time.monotonic()
    with pytest.raises(ConnectFailedError, match="password"):
        wait(amqp_url.replace("guest:guest@", "guest:wrong@"), None, run_context(), 600)
    assert time.monotonic() - began < 60


@pytest.mark.usefixtures("declared")
def test_a_refusal_is_an_error_that_says_why(amqp_url: str) -> None:
    """Nobody waits ten minutes for what will not come."""
    refusal = b'{"status": "refused", "reason": "the account asks for runs of web only"}'
    answer = threading.Thread(target=answer_one, args=(amqp_url, REQUESTS.queue), kwargs={"answer": lambda _: refusal})
    answer.start()
    with pytest.raises(CliError, match="runs of web only"):
        wait(amqp_url, None, run_context(project="shop"), 600)
    answer.join(20)
