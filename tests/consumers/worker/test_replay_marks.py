"""The mark of a replay on its way: kept, and believed only from those who may say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kombu import Message as Raw
from sqlalchemy import select

from testbus_broker.message import EVENTS_EXCHANGE, REPLAYED, ROUTING_KEY
from testbus_broker.topology import Subscription
from testbus_consumers import registry, settings
from testbus_consumers.embedded import state
from testbus_consumers.embedded.bus import open_state
from testbus_consumers.embedded.state import DEAD, DELAYED
from testbus_consumers.runtime.delivery import DeadLetter, Delay, Delivery
from testbus_consumers.testing import CollectingPublisher
from testbus_consumers.worker.amqp_actions import AmqpActions
from testbus_consumers.worker.message_adapter import ORIGINAL, as_task_message, delivery_of

if TYPE_CHECKING:
    from pathlib import Path

#: A replayed delivery.
OLD = Delivery(body=b"{}", content_encoding=None, routing_key="producer.started.web", replay="r1")


def taken(exchange: str, routing_key: str, **headers: Any) -> Delivery:
    """Return the delivery that a worker makes of a message."""
    info = {"exchange": exchange, "routing_key": routing_key}
    raw = Raw(body=b"{}", headers=headers, delivery_info=info, properties={})
    as_task_message(raw, "testbus.queue.slack")
    return delivery_of(b"{}", raw.headers[ORIGINAL])


@pytest.mark.parametrize(
    ("exchange", "routing_key", "believed"),
    [
        ("", "testbus.queue.slack", True),
        (EVENTS_EXCHANGE, "gate.evaluated.web", True),
        (EVENTS_EXCHANGE, "producer.started.web", False),
        (EVENTS_EXCHANGE, "no.such.web", False),
    ],
)
def test_who_may_say_that_an_event_is_of_the_past(exchange: str, routing_key: str, *, believed: bool) -> None:
    """A replay and a consumer may; a runner cannot keep its project's failures quiet."""
    assert taken(exchange, routing_key, **{REPLAYED: "r1"}).replayed is believed


def test_retries_and_dead_letters_keep_the_mark() -> None:
    """What is published for later says what it is."""
    publisher = CollectingPublisher()
    actions = AmqpActions(
        subscription=Subscription(name="slack"), publisher=publisher, answers=publisher, url="amqp://localhost"
    )
    actions.delay(OLD, Delay(seconds=5, attempt=1, delays=1, reason="busy"))
    actions.dead_letter(OLD, DeadLetter(error="no", attempts=5))
    assert [message.headers[REPLAYED] for message in publisher.messages] == ["r1", "r1"]
    assert {message.headers[ROUTING_KEY] for message in publisher.messages} == {"producer.started.web"}


def test_a_redriven_dead_letter_of_a_home_keeps_the_mark(tmp_path: Path) -> None:
    """Silence outlives a failure."""
    store = open_state(tmp_path, registry.find(settings.Settings(), "gates")[0])
    row = {"body": b"{}", "routing_key": "producer.started.web", "error": "no", "traceback": "", "attempts": 1}
    with store.begin() as connection:
        connection.execute(DEAD.insert().values(died_at=0.0, replay="r1", **row))
    assert state.redrive(store) == 1
    with store.begin() as connection:
        assert connection.execute(select(DELAYED.c.replay)).scalars().all() == ["r1"]
    store.close()
