"""The table of all events: what a type is called, what its data are, and who may send it."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from testbus_schemas import (
    artifacts,
    change,
    coverage,
    decisions,
    issues,
    measurements,
    overrides,
    regressions,
    results,
    runs,
    wire,
)
from testbus_schemas.errors import UnknownEventTypeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_schemas.events import EventData


@dataclass(frozen=True, kw_only=True)
class EventType:
    """One type of event."""

    #: Short name `<noun>.<verb>`, as in routing keys.
    name: str
    #: Model of its data.
    data: type[EventData]
    #: Whose accounts may send it: runners', workers', or those of people who may decide.
    sender: Literal["producers", "consumers", "people"]

    @property
    def from_producers(self) -> bool:
        """Tell whether a runner's account may send it."""
        return self.sender == "producers"

    @property
    def type(self) -> str:
        """Return the CloudEvents type."""
        return wire.event_type(self.name)

    @property
    def noun(self) -> str:
        """Return the first word of the name: what a runner's rights are made of."""
        return self.name.partition(".")[0]


_PRODUCERS: Final[dict[str, type[EventData]]] = {
    "producer.started": runs.ProducerStarted,
    "producer.heartbeat": runs.ProducerHeartbeat,
    "producer.finished": runs.ProducerFinished,
    "tests.collected": results.TestsCollected,
    "results.recorded": results.ResultsRecorded,
    "coverage.recorded": coverage.CoverageRecorded,
    "artifact.recorded": artifacts.ArtifactRecorded,
    "change.recorded": change.ChangeRecorded,
    "environment.recorded": measurements.EnvironmentRecorded,
    "metrics.recorded": measurements.MetricsRecorded,
    "benchmarks.recorded": measurements.BenchmarksRecorded,
    "shards.announced": runs.ShardsAnnounced,
    "verdict.requested": decisions.VerdictRequested,
}

_CONSUMERS: Final[dict[str, type[EventData]]] = {
    "run.completed": runs.RunCompleted,
    "run.interrupted": runs.RunInterrupted,
    "run.reopened": runs.RunReopened,
    "gate.evaluated": decisions.GateEvaluated,
    "issue.linked": issues.IssueLinked,
    "launch.linked": issues.LaunchLinked,
    "regression.detected": regressions.RegressionDetected,
    "regression.recovered": regressions.RegressionRecovered,
    "override.recorded": overrides.OverrideRecorded,
}

_PEOPLE: Final[dict[str, type[EventData]]] = {
    "override.requested": overrides.OverrideRequested,
}

#: Every event type by its short name.
EVENT_TYPES: Final[Mapping[str, EventType]] = MappingProxyType(
    {name: EventType(name=name, data=data, sender="producers") for name, data in _PRODUCERS.items()}
    | {name: EventType(name=name, data=data, sender="consumers") for name, data in _CONSUMERS.items()}
    | {name: EventType(name=name, data=data, sender="people") for name, data in _PEOPLE.items()}
)

_BY_DATA: Final = {kind.data: kind for kind in EVENT_TYPES.values()}


def by_type(cloudevents_type: str) -> EventType:
    """Return the event type of a CloudEvents `type`. Raises UnknownEventTypeError, naming what is known."""
    name = cloudevents_type.removeprefix(wire.TYPE_PREFIX)
    if not cloudevents_type.startswith(wire.TYPE_PREFIX) or name not in EVENT_TYPES:
        known = ", ".join(sorted(EVENT_TYPES))
        raise UnknownEventTypeError(
            f"unknown event type {cloudevents_type[:200]!r}; known under {wire.TYPE_PREFIX!r}: {known}. "
            "If a newer producer sends it, upgrade the consumers, then redrive."
        )
    return EVENT_TYPES[name]


def by_data(data: type[EventData]) -> EventType:
    """Return the event type whose data are of this class; a class without a type is a programming error (KeyError)."""
    return _BY_DATA[data]
