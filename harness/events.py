"""Events for tests: a producer that numbers what it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbus_consumers.testing import run_context
from testbus_schemas import (
    ArtifactRecorded,
    CoverageRecorded,
    Event,
    EventData,
    Failure,
    FileCoverage,
    Origin,
    ProducerFinished,
    ProducerHeartbeat,
    ProducerStarted,
    Result,
    ResultsRecorded,
    TestsCollected,
    produced,
)

if TYPE_CHECKING:
    from testbus_schemas import RunContext


class FakeProducer:
    """Makes the events of one producer in their order; the caller decides what arrives, and when."""

    def __init__(self, name: str = "p1", context: RunContext | None = None, **fields: Any) -> None:
        """Begin a producer of the run in `context`, or in one made of `fields`."""
        self.name = name
        self.context = context or run_context(**fields)
        self.sequence = 0
        self.reported = 0

    def _event(self, model: type[EventData], **data: Any) -> Event[EventData]:
        self.sequence += 1
        return produced(model(context=self.context, producer=Origin(id=self.name, sequence=self.sequence), **data))

    def started(self, **data: Any) -> Event[EventData]:
        """Return its producer.started."""
        return self._event(ProducerStarted, tool="pytest", **data)

    def heartbeat(self) -> Event[EventData]:
        """Return a sign of life, which is not counted."""
        return produced(ProducerHeartbeat(context=self.context, producer=Origin(id=self.name)))

    def collected(self, *node_ids: str) -> Event[EventData]:
        """Return a tests.collected with these tests."""
        return self._event(TestsCollected, node_ids=node_ids)

    def results(self, **outcomes: str) -> Event[EventData]:
        """Return a results.recorded: test name → outcome."""
        self.reported += len(outcomes)
        return self._event(ResultsRecorded, results=tuple(result(name, how) for name, how in outcomes.items()))

    def coverage(self, path: str, statements: str, executed: str) -> Event[EventData]:
        """Return a coverage.recorded of one file; line sets as `1-5,8`."""
        return self._event(CoverageRecorded, files=(FileCoverage(path=path, statements=statements, executed=executed),))

    def artifact(self, **data: Any) -> Event[EventData]:
        """Return its next event: an attached file."""
        return self._event(ArtifactRecorded, **data)

    def recorded(self, model: type[EventData], **data: Any) -> Event[EventData]:
        """Return its next event of any type: what it knows of its code and place."""
        return self._event(model, **data)

    def finished(self, status: str = "finished", **data: Any) -> Event[EventData]:
        """Return its producer.finished, which says how many events it has made."""
        return self._event(ProducerFinished, events=self.sequence + 1, status=status, reported=self.reported, **data)

    def whole(self, **outcomes: str) -> list[Event[EventData]]:
        """Return all events of a producer that ran these tests."""
        return [self.started(), self.collected(*outcomes), self.results(**outcomes), self.finished()]


def result(name: str, outcome: str) -> Result:
    """Return a result; a failed one has a failure that names the test."""
    failures = (Failure(type="ValueError", message=f"{name} is wrong", text="..."),) if outcome == "failed" else ()
    return Result(node_id=name, outcome=outcome, failures=failures)
