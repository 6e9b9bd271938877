"""What the tests of the runtime make small consumers of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, MetaData, Table, Text, func, select

from harness.events import FakeProducer
from testbus_consumers.runtime import Consumer, State
from testbus_consumers.runtime.delivery import Delivery
from testbus_consumers.settings import Section
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import RunReopened, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from testbus_broker.message import Message
    from testbus_consumers.runtime.consumer import Handler
    from testbus_schemas import Event, EventData

METADATA = MetaData()

#: A consumer's own table.
NOTE = Table("note", METADATA, Column("text", Text, nullable=False))


class SampleSettings(Section):
    """Section of a sample consumer: it has no keys."""


def sample(handlers: Mapping[type[EventData], Handler], **more: Any) -> Consumer:
    """Return a consumer with these handlers."""
    return Consumer(name="sample", settings=SampleSettings, handlers=handlers, metadata=METADATA, **more)


def harness_of(consumer: Consumer, folder: Path, state_url: str | None = None) -> ConsumerHarness:
    """Return the consumer on a folder (or a database) of its own, its table made."""
    return ConsumerHarness(consumer, folder, state_url=state_url)


def note(state: State[Any], text: str) -> None:
    """Keep a line in the consumer's own table."""
    state.execute(NOTE.insert().values(text=text))


def notes(harness: ConsumerHarness) -> list[str]:
    """Return the lines that are kept."""
    with harness.policy.store.begin() as connection:
        return list(connection.execute(select(NOTE.c.text).order_by(NOTE.c.text)).scalars())


def count_rows(harness: ConsumerHarness, table: Table) -> int:
    """Return how many rows a table has."""
    with harness.policy.store.begin() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def emit(state: State[Any], event: Event[EventData], reason: str = "because") -> None:
    """Derive an event from one that is handled; its type does not matter to the runtime."""
    state.emit(RunReopened(context=event.data.context, revision=1, reason=reason), counted=[event.id])


def an_event(name: str = "p1", **outcomes: str) -> Event[EventData]:
    """Return a results.recorded of a new producer."""
    return FakeProducer(name).results(**outcomes or {"test_a": "passed"})


def delivery(event: Event[EventData], **fields: Any) -> Delivery:
    """Return what a driver would hand over for an event."""
    encoded = encode(event)
    values = {
        "body": encoded.body,
        "content_encoding": encoded.content_encoding,
        "routing_key": event.routing_key,
    }
    return Delivery(**values | fields)


class FailingPublisher:
    """A broker that is away for so many publishes, and then keeps what it is given."""

    def __init__(self, error: Exception, failures: int = 1) -> None:
        """Raise the error so often first."""
        self.messages: list[Message] = []
        self._error = error
        self._failures = failures

    def publish(self, messages: Sequence[Message], timeout: float) -> None:  # noqa: ARG002 as every publisher
        """Keep the messages, once the broker is back."""
        if self._failures:
            self._failures -= 1
            raise self._error
        self.messages += messages

    def close(self, timeout: float) -> None:
        """Do nothing: there is no connection."""
