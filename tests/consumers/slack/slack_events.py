"""What Slack is told in these tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from testbus_schemas import (
    Event,
    EventData,
    FailedCause,
    FailedTest,
    GateEvaluated,
    IssueLinked,
    LaunchLinked,
    Origin,
    ProducerStarted,
    RegressionDetected,
    RegressionRecovered,
    RunReopened,
    derived,
    produced,
)
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from testbus_sandbox.slack.workspace import Message
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


def cause(node_id: str, fingerprint: str) -> FailedCause:
    """Return a cause of one test."""
    said = {"type": "ValueError", "message": "bad"}
    return FailedCause(node_id=node_id, outcome="failed", fingerprint=fingerprint, total=1, **said)


def launched(
    context: RunContext, target: str = "eu", url: str = "https://rp.example.com/ui/#web/launches/all/7"
) -> Event[EventData]:
    """Return a launch.linked."""
    data = LaunchLinked(context=context, target=target, uuid=f"uuid-{target}", number=7, url=url)
    return derived(data, consumer=f"reportportal.{target}", event_id=f"launch-{context.run}-{target}")


def lines(message: Message) -> list[str]:
    """Return what a person reads: the lines of all blocks."""
    texts = []
    for block in message.blocks:
        texts += [block["text"]["text"]] if "text" in block else [part["text"] for part in block["elements"]]
    return "\n".join(texts).splitlines()


def regressed(context: RunContext, message: str = "test_a newly failed", **fields: Any) -> Event[EventData]:
    """Return a regression.detected, by default of a test."""
    data = {"kind": "test_failed", "cause": "v1:a", "subject": "test_a", "since": context.run, "message": message}
    found = RegressionDetected(context=context, **data | fields)
    return derived(found, consumer="regressions", event_id=new_id())


def recovered(context: RunContext, since: str, **fields: Any) -> Event[EventData]:
    """Return a regression.recovered."""
    data = {"kind": "test_failed", "cause": "v1:a", "subject": "test_a", "since": since, "message": "test_a is well"}
    found = RegressionRecovered(context=context, **data | fields)
    return derived(found, consumer="regressions", event_id=new_id())


def linked(context: RunContext, fingerprint: str = "v1:a", key: str = "SHOP-17", **fields: Any) -> Event[EventData]:
    """Return an issue.linked, by default of an issue that was created."""
    data = {
        "tracker": "jira",
        "key": key,
        "url": f"https://jira.example.com/browse/{key}",
        "title": "ValueError: bad",
        "status": "Open",
        "action": "created",
    }
    found = IssueLinked(context=context, fingerprint=fingerprint, **data | fields)
    return derived(found, consumer="jira", event_id=new_id())
