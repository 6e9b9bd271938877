"""The envelope: one CloudEvents 1.0 message."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Generic, Literal, TypeVar

from pydantic import Field

from testbus_schemas import catalog, identity, wire
from testbus_schemas.events import EventData
from testbus_schemas.model import Instant, Model

D_co = TypeVar("D_co", bound=EventData, covariant=True)


class Event(Model, Generic[D_co]):
    """One event: immutable; its id never changes, however often it is sent."""

    #: Version of CloudEvents.
    specversion: Literal["1.0"] = wire.SPEC_VERSION
    #: Identity: equal ids are the same event.
    id: str = Field(min_length=1, max_length=64)
    #: Who made it: `/testbus/producers/<id>`, `/testbus/consumers/<name>`, or `/testbus/people` for a person.
    source: str = Field(min_length=1, max_length=256)
    #: CloudEvents type, `io.testbus.<noun>.<verb>`.
    type: str
    #: When it was made.
    time: Instant
    #: The run.
    subject: str = Field(min_length=1, max_length=256)
    #: Form of `data`.
    datacontenttype: Literal["application/json"] = "application/json"
    #: `urn:testbus:<noun>.<verb>:<major version>`.
    dataschema: str
    #: What happened.
    data: D_co

    @property
    def name(self) -> str:
        """Return the short name `<noun>.<verb>`."""
        return self.type.removeprefix(wire.TYPE_PREFIX)

    @property
    def routing_key(self) -> str:
        """Return the key under which the event is published."""
        return wire.routing_key(self.name, self.data.context.project)


def produced(data: EventData, *, time: datetime | None = None) -> Event[EventData]:
    """Return the event of a producer's data; its id follows from the producer and the position.

    Data without a sequence (heartbeats, requests) get an id of their own.
    """
    origin = data.producer
    if origin is None or origin.sequence is None:
        event_id = identity.new_id()
    else:
        event_id = identity.producer_event_id(origin.id, origin.sequence)
    return _event(data, event_id, f"/testbus/producers/{origin.id if origin else 'anonymous'}", time)


def derived(data: EventData, *, consumer: str, event_id: str, time: datetime | None = None) -> Event[EventData]:
    """Return the event that a consumer derived; see `identity.derived_event_id` for its id."""
    return _event(data, event_id, f"/testbus/consumers/{consumer}", time)


def decided(data: EventData, *, event_id: str, time: datetime | None = None) -> Event[EventData]:
    """Return the event of what a person decided; the id is that of the decision."""
    return _event(data, event_id, "/testbus/people", time)


def _event(data: EventData, event_id: str, source: str, time: datetime | None) -> Event[EventData]:
    kind = catalog.by_data(type(data))
    return model_of(type(data))(
        id=event_id,
        source=source,
        type=kind.type,
        time=time or datetime.now(UTC),
        subject=data.context.run,
        dataschema=wire.data_schema(kind.name),
        data=data,
    )


@cache
def model_of(data: type[EventData]) -> type[Event[EventData]]:
    """Return the model of events with such data; kept, as pydantic forgets a model that nobody holds."""
    return Event.__class_getitem__(data)  # type: ignore[return-value] # known at run time
