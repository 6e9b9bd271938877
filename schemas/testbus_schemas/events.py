"""What the data of every event has in common."""

from __future__ import annotations

from pydantic import Field

from testbus_schemas.context import RunContext
from testbus_schemas.model import Model


class Origin(Model):
    """Which producer sent an event, and as its how-manieth."""

    #: The producer's id.
    id: str = Field(min_length=1, max_length=64)
    #: Position among this producer's events: 1, 2, … without a gap; None for what is not counted (heartbeats).
    sequence: int | None = Field(default=None, ge=1)


class EventData(Model):
    """The data of an event."""

    #: The run that the event belongs to.
    context: RunContext
    #: The producer that sent it; None for an event that a consumer derived.
    producer: Origin | None = None
