"""Runs whose tests fail for few causes, and what is read back from Jira."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.recording import Recorded
from testbus_consumers.jira import CONSUMER
from testbus_consumers.store import jobs
from testbus_consumers.store.run_key import RunKey
from testbus_consumers.testing import run_context
from testbus_schemas import (
    Event,
    EventData,
    Failure,
    LaunchLinked,
    Origin,
    Result,
    ResultsRecorded,
    RunCompleted,
    RunInterrupted,
    derived,
    produced,
)
from testbus_schemas.identity import derived_id

if TYPE_CHECKING:
    from pathlib import Path

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import JiraServer
    from testbus_sandbox.jira.models import Issue
    from testbus_schemas import IssueLinked, RunContext

#: What goes wrong: each is a cause of its own, and no two failures of one read alike.
SAID = (
    ("ValueError", "invalid literal for int() with base 10: 'x{}'"),
    ("KeyError", "'basket-{}'"),
    ("TimeoutError", "no answer from 10.0.0.{} in time"),
    ("shop.errors.OutOfStock", "article {} is sold out"),
    ("AssertionError", "assert {} == 4"),
)

#: Where workers look for the token.
TOKEN_VARIABLE = "JIRA_TOKEN"


def context(run: str = "run-1", **fields: Any) -> RunContext:
    """Return the context of a run on main."""
    defaults = {"branch": "main", "commit": "c0ffee" * 6, "build_url": f"https://ci.example/{run}", "suite": "unit"}
    return run_context(run=run, **defaults | fields)


def failed(number: int, cause: int, attempt: int = 1) -> Result:
    """Return the result of test `number`, which fails for a cause."""
    kind, said = SAID[cause]
    message = said.format(number)
    text = f"def test_{number}():\n>   do()\nE   {kind}: {message}"
    failure = Failure(type=kind, message=message, text=text)
    return Result(node_id=f"tests/test_shop.py::test[{number}]", attempt=attempt, outcome="failed", failures=(failure,))


def passed(number: int, attempt: int = 1) -> Result:
    """Return the result of test `number`, which passes."""
    return Result(node_id=f"tests/test_shop.py::test[{number}]", attempt=attempt, outcome="passed")


def many(failures: int, causes: int = len(SAID)) -> list[Result]:
    """Return so many failures of so many causes, taking turns."""
    return [failed(number, number % causes) for number in range(failures)]


def recorded(results: list[Result], of: RunContext, producer: str = "p1", size: int = 50) -> list[Event[EventData]]:
    """Return results as the events of a producer."""
    chunks = [tuple(results[at : at + size]) for at in range(0, len(results), size)]
    origin = f"{of.run}-{producer}"
    return [
        produced(ResultsRecorded(context=of, producer=Origin(id=origin, sequence=number), results=chunk))
        for number, chunk in enumerate(chunks, 1)
    ]


def decided(events: list[Event[EventData]], revision: int = 1, **fields: Any) -> Event[EventData]:
    """Return the decision that these events are all of their run; `reasons` make it an interrupted one."""
    of = events[0].data.context
    counts: dict[str, dict[str, int]] = {}
    for event in events:
        assert event.data.producer
        types = counts.setdefault(event.data.producer.id, {})
        types[event.name] = types.get(event.name, 0) + 1
    data = {"context": of, "revision": revision, "expected": counts, "finished_at": of.started_at} | fields
    closing = RunInterrupted(**data) if "reasons" in data else RunCompleted(**data)
    return derived(closing, consumer="runs", event_id=derived_id("test", of.run, revision))


def whole(results: list[Result], of: RunContext | None = None, producer: str = "p1") -> list[Event[EventData]]:
    """Return all events of a run with one producer, its decision included."""
    events = recorded(results, of or context(), producer)
    return [*events, decided(events)]


def launched(of: RunContext, target: str, url: str) -> Event[EventData]:
    """Return the news that a run is a launch of a ReportPortal."""
    data = LaunchLinked(context=of, target=target, uuid=f"{of.run}-{target}", number=1, url=url)
    return derived(data, consumer=f"reportportal.{target}", event_id=derived_id("launch", of.run, target))


def worker_of(
    jira: JiraServer | dict[str, str], folder: Path, state_url: str | None = None, **settings: Any
) -> ConsumerHarness:
    """Return a worker that files at a Jira; those of one folder (or state) share what they know."""
    known = jira if isinstance(jira, dict) else where(jira)
    given = known | {"token": {"env": TOKEN_VARIABLE}, "timeout_s": 5, "settle_s": 120} | settings
    return Recorded(CONSUMER, folder, given, state_url=state_url)


def where(jira: JiraServer) -> dict[str, str]:
    """Return the settings that say which Jira it is."""
    known = {"url": jira.url, "project": jira.project}
    return known | ({"user": jira.user} if jira.flavour == "cloud" else {})


def waiting(worker: ConsumerHarness) -> list[str]:
    """Return the runs that are not filed yet."""
    with worker.policy.store.begin() as connection:
        rows = connection.execute(jobs.JOB.select().where(jobs.JOB.c.status == "waiting"))
        return [RunKey.parse(row.key).run for row in rows if row.name == "testbus.complete"]


def finish(worker: ConsumerHarness, step_s: float = 5.0, most: int = 800) -> None:
    """Let time pass until every run is filed."""
    for _ in range(most):
        if not waiting(worker):
            return
        worker.run_timers(advance_s=step_s)
    raise AssertionError(f"still waiting: {waiting(worker)}")


def reason(worker: ConsumerHarness, run: str = "run-1") -> str:
    """Return why a run waits."""
    with worker.policy.store.begin() as connection:
        rows = connection.execute(jobs.JOB.select().where(jobs.JOB.c.name == "testbus.complete"))
        return "".join(row.reason for row in rows if RunKey.parse(row.key).run == run)


def linked(worker: ConsumerHarness) -> list[IssueLinked]:
    """Return what was said of issues."""
    return [event.data for event in worker.emitted if event.name == "issue.linked"]  # type: ignore[misc]


def shown(issue: Issue) -> list[str]:
    """Return the lines of an issue's description that have words."""
    return [line for line in issue.text.splitlines() if line.strip()]
