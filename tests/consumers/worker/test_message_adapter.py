"""From a raw AMQP message to what the policy is given: what is believed, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from kombu.message import Message

from testbus_broker import message as headers
from testbus_broker.message import EVENTS_EXCHANGE
from testbus_broker.topology import REQUESTS_EXCHANGE
from testbus_consumers.runtime.delivery import Delivery
from testbus_consumers.worker.message_adapter import ORIGINAL, TASK, as_task_message, delivery_of, register_content_type

QUEUE = "testbus.queue.gates"


def taken_in(exchange: str, routing_key: str, own: Any = None, **properties: Any) -> Delivery:
    """Return what the policy is given for a message with these properties."""
    message = Message(
        body=b"{}",
        headers=own,
        properties=properties,
        content_encoding=properties.pop("content_encoding", None),
        delivery_info={"exchange": exchange, "routing_key": routing_key, "consumer_tag": "1"},
    )
    as_task_message(message, QUEUE)
    assert message.headers["task"] == TASK
    return delivery_of(b"{}", message.headers[ORIGINAL])


def test_an_event_comes_with_the_key_it_was_published_under() -> None:
    """As the broker checked it."""
    delivery = taken_in(EVENTS_EXCHANGE, "results.recorded.web", {}, content_encoding="gzip")
    assert delivery == Delivery(body=b"{}", content_encoding="gzip", routing_key="results.recorded.web")


def test_a_retried_event_brings_its_first_key_and_its_attempts() -> None:
    """A retry delay dead-letters straight to this queue; only there our own headers are believed."""
    own = {headers.ROUTING_KEY: "results.recorded.web", headers.ATTEMPT: 2, headers.DELAYS: 3}
    delivery = taken_in("", QUEUE, own)
    assert (delivery.routing_key, delivery.attempt, delivery.delays) == ("results.recorded.web", 2, 3)


@pytest.mark.parametrize("own", [{headers.ROUTING_KEY: "results.recorded.other", headers.ATTEMPT: 99}])
def test_a_producer_cannot_claim_another_key_in_a_header(own: dict[str, Any]) -> None:
    """What comes through an exchange has the key that rights were checked on, and no attempts yet."""
    delivery = taken_in(EVENTS_EXCHANGE, "results.recorded.web", own)
    assert (delivery.routing_key, delivery.attempt) == ("results.recorded.web", 0)


def test_an_event_does_not_become_a_request_by_asking_for_an_answer() -> None:
    """`reply_to` alone says nothing: an event keeps its key, and is checked against it."""
    delivery = taken_in(EVENTS_EXCHANGE, "results.recorded.web", {}, reply_to="amq.rabbitmq.reply-to.x")
    assert delivery.routing_key == "results.recorded.web"


def test_a_request_has_no_key() -> None:
    """And is known by its exchange."""
    delivery = taken_in(REQUESTS_EXCHANGE, "verdict", {}, reply_to="somebody", correlation_id="7")
    assert (delivery.routing_key, delivery.reply_to, delivery.correlation_id) == (None, "somebody", "7")


@pytest.mark.parametrize("own", [None, {}, {headers.ATTEMPT: "many"}, {headers.ATTEMPT: -1}, {"task": "evil"}])
def test_odd_headers_do_no_harm(own: Any) -> None:
    """Neither to us nor, by steering it, to Celery."""
    assert taken_in("", QUEUE, own).attempt == 0


def test_an_empty_body_reaches_the_policy() -> None:
    """Celery's process would end over what kombu makes of nothing."""
    message = Message(body=b"", delivery_info={"exchange": "", "routing_key": QUEUE, "consumer_tag": "1"})
    as_task_message(message, QUEUE)
    register_content_type()
    message.accept = None
    (body,), _, _ = message.decode()
    assert delivery_of(body, message.headers[ORIGINAL]).body == b""


def test_a_claimed_history_of_deaths_is_told_to_the_policy() -> None:
    """The broker would go by it, should it give this event up; after a retry delay it is the broker's own."""
    deaths = [{"queue": QUEUE, "reason": "delivery_limit", "exchange": "", "routing-keys": ["results.recorded.other"]}]
    assert taken_in(EVENTS_EXCHANGE, "results.recorded.web", {"x-death": deaths}).forged
    assert not taken_in("", QUEUE, {"x-death": deaths}).forged


@pytest.mark.parametrize(("redelivered", "unanswered"), [(True, 7), (False, 0)])
def test_unanswered_deliveries_are_counted_by_the_broker(*, redelivered: bool, unanswered: int) -> None:
    """Its header counts on a redelivered event only: before, it is the publisher's own."""
    message = Message(
        body=b"{}",
        headers={"x-delivery-count": 7},
        delivery_info={"exchange": "", "routing_key": QUEUE, "consumer_tag": "1", "redelivered": redelivered},
    )
    as_task_message(message, QUEUE)
    assert delivery_of(b"{}", message.headers[ORIGINAL]).unanswered == unanswered
