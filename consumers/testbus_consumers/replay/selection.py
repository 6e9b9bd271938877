"""Which events of the past a replay is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbus_consumers.errors import ConsumerError
from testbus_consumers.store.run_key import RunKey
from testbus_schemas.catalog import EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Container
    from datetime import datetime

    from testbus_broker.topology import Subscription
    from testbus_schemas import Event, EventData


class PartialRangeError(ConsumerError):
    """The range begins before what was kept does: give a later --since, or take what there is with --allow-partial."""


class UnknownTypeError(ConsumerError):
    """No event of that type reaches the queue: see the types that the message names."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is to be replayed; everything that is not None has to fit."""

    #: Events recorded at this time or later (aware).
    since: datetime | None = None
    #: Events recorded before this time (aware).
    until: datetime | None = None
    #: Events of this run.
    run: str | None = None
    #: Events of these runs.
    runs: Container[RunKey] | None = None
    #: Events of this project.
    project: str | None = None
    #: Events of this type (short name, as results.recorded).
    type: str | None = None

    def wants_key(self, subscription: Subscription, routing_key: str) -> bool:
        """Tell whether an event that was published under this key may be wanted, without reading it."""
        name, _, project = routing_key.rpartition(".")
        return subscription.wants(routing_key) and self.type in {None, name} and self.project in {None, project}

    def wants(self, event: Event[EventData]) -> bool:
        """Tell whether an event whose key fits is wanted."""
        return (
            self.run in {None, event.subject}
            and (self.runs is None or RunKey.of(event.data.context) in self.runs)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
        )

    def demand_known(self, subscription: Subscription) -> None:
        """Raise UnknownTypeError when no event of the type that is wanted reaches the queue."""
        known = sorted(name for name in EVENT_TYPES if subscription.wants(f"{name}.project"))
        if self.type is not None and self.type not in known:
            raise UnknownTypeError(f"no {self.type} reaches {subscription.name}; it receives {', '.join(known)}")

    def demand_whole(self, begins: datetime) -> None:
        """Raise PartialRangeError when what was kept `begins` later than the range does."""
        if self.since is not None and self.since < begins:
            raise PartialRangeError(
                f"the oldest event that was kept is of {begins.isoformat(timespec='seconds')}, the range begins at "
                f"{self.since.isoformat(timespec='seconds')}: give a later --since, or take what there is with "
                "--allow-partial"
            )
