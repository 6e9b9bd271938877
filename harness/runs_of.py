"""Runs for these tests: events with results as a pytest process makes them, and the decisions about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from harness.events import FakeProducer
from testbus_schemas import (
    Event,
    EventData,
    Failure,
    GateEvaluated,
    Origin,
    Result,
    ResultsRecorded,
    RuleEvaluated,
    RunCompleted,
    RunInterrupted,
    derived,
    produced,
)
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from testbus_schemas import RunContext

#: When every run here starts.
START = datetime(2026, 11, 20, 11, 13, 26, 123456, tzinfo=UTC)


def failed(name: str, **fields: Any) -> Result:
    """Return a failed result with one failure."""
    failure = Failure(type="ValueError", message=f"{name} is wrong", text=f"E   ValueError: {name} is wrong")
    return Result(
        **{
            "node_id": name,
            "outcome": "failed",
            "started_at": START + timedelta(seconds=1),
            "duration_s": 0.25,
            "failures": (failure,),
        }
        | fields
    )


def passed(name: str, **fields: Any) -> Result:
    """Return a passed result."""
    return Result(
        **{"node_id": name, "outcome": "passed", "started_at": START + timedelta(seconds=1), "duration_s": 0.25}
        | fields
    )


def recorded(
    context: RunContext, *results: Result, sequence: int = 2, producer: str = "p1", age: timedelta = timedelta(0)
) -> Event[EventData]:
    """Return a results.recorded."""
    data = ResultsRecorded(context=context, producer=Origin(id=producer, sequence=sequence), results=results)
    return produced(data, time=datetime.now(UTC) - age)


def whole(context: RunContext, *results: Result) -> list[Event[EventData]]:
    """Return all events of a producer that ran these tests: its start, its results, its end."""
    producer = FakeProducer(context=context)
    begin = producer.started()
    producer.sequence, producer.reported = 2, len(results)
    return [begin, recorded(context, *results), producer.finished()]


def decided(
    context: RunContext, revision: int = 1, *, missing: tuple[str, ...] = (), finished_at: datetime | None = None
) -> Event[EventData]:
    """Return the decision about a run; nothing is expected of anybody, so that it holds at once."""
    closing: dict[str, Any] = {
        "context": context,
        "revision": revision,
        "expected": {},
        "finished_at": finished_at or START + timedelta(minutes=1),
    }
    data = RunInterrupted(**closing, reasons=missing) if missing else RunCompleted(**closing)
    return derived(data, consumer="runs", event_id=new_id())


def judged(context: RunContext, verdict: str, revision: int = 1, reasons: tuple[str, ...] = ()) -> Event[EventData]:
    """Return a verdict."""
    outcome, said = ("passed", "all passed") if verdict == "passed" else ("failed", "3 of 4 tests did not pass")
    rule = RuleEvaluated(rule="pass_rate", outcome=outcome, unit="%", message=f"pass_rate {said}")
    data = GateEvaluated(
        context=context, revision=revision, verdict=verdict, rules=(rule,), reasons=reasons, counts={}, total=2
    )
    return derived(data, consumer="gates", event_id=new_id())
