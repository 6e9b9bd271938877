"""What has to be there in the end, from the load itself: no deployment is asked."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from benchmarks.chaos.snapshot import Key, Snapshot, gathered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.chaos.load import Job, Load

#: ReportPortals that everything is reported to.
_PORTALS: Final = ("ReportPortal a", "ReportPortal b")


def expected_of(load: Load) -> Snapshot:
    """Return what the load implies."""
    by_run: dict[str, list[Job]] = defaultdict(list)
    for job in load.jobs:
        by_run[job.context.run].append(job)
    return gathered(fact for run, jobs in by_run.items() for fact in _of_run(run, jobs))


def kept(snapshot: Snapshot) -> Snapshot:
    """Return of a final state what the load alone implies."""
    return gathered(fact for key, contents in snapshot.items() for content in contents for fact in _said(key, content))


def _of_run(run: str, jobs: list[Job]) -> Iterator[tuple[Key, Any]]:
    crashed = any(job.status == "crashed" for job in jobs)
    last = {(job.name, result.node_id): result for job in jobs for result in job.results}
    counts = Counter(str(result.outcome) for result in last.values())
    # Of a producer that crashed, what it had collected is what it had run: nothing is missing of its tests.
    verdict = "incomplete" if crashed else "failed" if counts["failed"] else "passed"
    yield ("runs", run), ["interrupted" if crashed else "completed", 1]
    yield ("gates", run), [verdict, dict(counts), counts.total()]
    yield ("Slack", run), True
    for (_, node_id), result in last.items():
        yield ("record", run, node_id), [str(result.outcome), result.attempt]
    for job in jobs:
        for result in job.results:
            for portal in _PORTALS:
                yield (portal, run, result.node_id), str(result.outcome).upper()
    for cause in {result.failures[0].type for result in last.values() if result.failures}:
        yield ("Jira", cause, run), True
    for portal in _PORTALS:
        yield (portal, run), True


def _said(key: Key, content: str) -> Iterator[tuple[Key, Any]]:
    value = json.loads(content)
    names = dict(name.partition("=")[::2] for name in key)
    match key:
        case ("runs", "run", *_):
            yield ("runs", names["run"]), [value["status"], value["revision"]]
        case ("gates", "verdict", *_):
            said = value["evaluation"]
            yield ("gates", names["run"]), [value["verdict"], said["counts"], said["total"]]
        case ("record", *_):
            yield key, value
        case ("Slack", "message", run):
            yield ("Slack", run), True
        case ("Jira", "told", cause, run):
            # Its title: project and module, type, what it said.
            yield ("Jira", cause.split(": ")[1], run), True
        case (where, "launch", run) if where in _PORTALS:
            yield (where, run), True
        case (where, "item", run, *rest):
            if value["type"] == "STEP":
                yield (where, run, rest[0]), value["status"]
