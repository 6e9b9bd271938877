"""What Slack is told in these tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from testbus_schemas import (
    Event,
    EventData,
    FailedTest,
    GateEvaluated,
    Origin,
    ProducerStarted,
    RunReopened,
    derived,
    produced,
)
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from testbus_sandbox.slack.models import Message
    from testbus_schemas import RunContext

#: When every run here starts.
START = datetime.now(UTC) - timedelta(minutes=12, seconds=5)


def started(context: RunContext, producer: str = "p1") -> Event[EventData]:
    """Return a producer.started."""
    origin = Origin(id=f"{context.run}-{producer}", sequence=1)
    return produced(ProducerStarted(context=context, producer=origin, tool="pytest"))


def judged(context: RunContext, verdict: str, revision: int = 1, **fields: Any) -> Event[EventData]:
    """Return a verdict, by default on 1,204 tests of which 3 failed unless it is passed."""
    bad = 0 if verdict == "passed" else 3
    data = {"counts": {"passed": 1204 - bad, "failed": bad}, "total": 1204, "rules": ()} | fields
    when = context.started_at + timedelta(minutes=12, seconds=5)
    evaluated = GateEvaluated(context=context, revision=revision, verdict=verdict, **data)
    return derived(evaluated, consumer="gates", event_id=new_id(), time=when)


def reopened(context: RunContext, revision: int = 1) -> Event[EventData]:
    """Return a run.reopened."""
    data = RunReopened(context=context, revision=revision, reason="shard 3 came late")
    return derived(data, consumer="runs", event_id=new_id())


def failing(node_id: str, message: str, fingerprint: str) -> FailedTest:
    """Return a failed test of a verdict."""
    return FailedTest(node_id=node_id, outcome="failed", fingerprint=fingerprint, type="ValueError", message=message)


def lines(message: Message) -> list[str]:
    """Return what a person reads: the lines of all blocks."""
    texts = []
    for block in message.blocks:
        texts += [block["text"]["text"]] if "text" in block else [part["text"] for part in block["elements"]]
    return "\n".join(texts).splitlines()
