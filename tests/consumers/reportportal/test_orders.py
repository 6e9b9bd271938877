"""Whatever the order in which events come, however often, and wherever a worker dies: the launch is the same."""

from __future__ import annotations

import base64
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.looks import deliver_all, look, only, triage
from harness.runs_of import START, failed, judged, passed, recorded
from testbus_consumers.testing import run_context
from testbus_sandbox import Sandbox
from testbus_schemas import (
    ArtifactRecorded,
    Event,
    EventData,
    IssueAction,
    IssueLinked,
    Origin,
    RunCompleted,
    derived,
    fingerprint,
    produced,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer

pytestmark = pytest.mark.slow

#: When files were attached.
ATTACHED = START + timedelta(seconds=30)

#: What each arrangement is held to.
TREES = ("flat", "code", "directory")


def artifact(context: Any, sequence: int, producer: str, **fields: Any) -> Event[EventData]:
    """Return an artifact.recorded."""
    data = ArtifactRecorded(context=context, producer=Origin(id=producer, sequence=sequence), **fields)
    return produced(data, time=ATTACHED)


def finished(context: Any, expected: dict[str, dict[str, int]], revision: int = 1) -> Event[EventData]:
    """Return the decision that a run is complete when so much of it has come."""
    data = RunCompleted(
        context=context, revision=revision, expected=expected, finished_at=START + timedelta(minutes=revision)
    )
    return derived(data, consumer="runs", event_id=f"run-completed-{revision}", time=ATTACHED)


def a_run() -> list[Event[EventData]]:
    """Return a run of two shards with retries, files, an issue and a verdict, the decision about it last."""
    one = run_context(started_at=START, suite="unit", shard={"index": 1, "total": 2})
    two = run_context(started_at=START, suite="unit", shard={"index": 2, "total": 2})
    bad = failed("pkg/sub/test_b.py::TestB::test_bad")
    issue = IssueLinked(
        context=one,
        fingerprint=fingerprint(bad.failures[0]),
        tracker="jira",
        key="SHOP-1",
        url="https://jira.example.com/browse/SHOP-1",
        action=IssueAction.CREATED,
    )
    flaky = "pkg/test_a.py::test_flaky"
    shot = base64.b64encode(b"\x89PNG").decode()
    return [
        recorded(one, passed("pkg/test_a.py::test_ok"), failed(flaky), sequence=2),
        recorded(one, failed(flaky, attempt=2), sequence=3),
        recorded(one, passed(flaky, attempt=3), sequence=4),
        artifact(one, 5, "p1", node_id=flaky, attempt=2, name="shot.png", media_type="image/png", content=shot),
        artifact(one, 6, "p1", name="coverage", url="https://ci.example.com/coverage"),
        recorded(two, passed("pkg/test_a.py::TestA::test_in"), bad, producer="p2", sequence=2),
        derived(issue, consumer="jira", event_id="issue-1", time=ATTACHED),
        judged(one, "failed"),
        finished(one, {"p1": {"results.recorded": 3, "artifact.recorded": 2}, "p2": {"results.recorded": 1}}),
    ]


@pytest.mark.parametrize("tree", TREES)
def test_every_order_ends_in_the_same_launch(make_worker: Callable[..., ConsumerHarness], tree: str) -> None:
    """Shuffled, with duplicates, by two workers in turn."""
    events = a_run()
    looks = []
    for seed in range(6):
        order = list(events)
        chance = random.Random(seed)
        if seed:
            order += chance.sample(events, 4)
            chance.shuffle(order)
        with Sandbox(slack=False) as sandbox:
            portal = sandbox.reportportal("a")
            workers = [make_worker(f"{tree}-{seed}", endpoint=portal.url, tree=tree, concurrency=4) for _ in range(2)]
            deliver_all(workers, order)
            looks.append(look(only(portal)))
        assert looks[-1] == looks[0], f"seed {seed}"
    assert looks[0]["launch"][1] == "FAILED"


@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize(("tree", "first", "step"), [("code", 0, 2), ("flat", 1, 5)])
def test_a_worker_may_die_before_or_after_any_request(
    make_worker: Callable[..., ConsumerHarness], tree: str, first: int, step: int, lost: str
) -> None:
    """Its successor, which knows what was committed and nothing else, ends in the same launch.

    A step of 1 tries every request, and takes minutes.
    """
    events = a_run()
    with Sandbox(slack=False) as sandbox:
        portal = sandbox.reportportal("a")
        deliver_all(make_worker("undisturbed", endpoint=portal.url, tree=tree, concurrency=1), events)
        wanted, requests = look(only(portal)), portal.requests.total
        assert requests >= 30
    for number in range(first, requests, step):
        with Sandbox(slack=False) as sandbox:
            portal = sandbox.reportportal("a")
            settings = {"endpoint": portal.url, "tree": tree, "concurrency": 1}
            die(portal, number, lost)
            doomed = make_worker(str(number), **settings)
            for event in events:
                doomed.deliver(event)
            portal.faults.clear()
            deliver_all(make_worker(str(number), **settings), events)
            assert look(only(portal)) == wanted, f"killed at request {number}"


def die(portal: ReportPortalServer, number: int, lost: str) -> None:
    """Let nothing through after so many requests; of the next one the request is lost, or only the answer."""
    if lost == "answer":
        portal.faults.reset(skip=number, times=1, act_first=True)
    portal.faults.reset(skip=number)


def test_what_comes_after_the_end_corrects_the_suites(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """A failure that is redriven when the run is over makes its suites and the launch fail, without a new decision."""
    worker = make_worker("late", tree="directory")
    context = run_context(started_at=START)
    deliver_all(worker, [recorded(context, passed("a/b/test_a.py::test_ok")), finished(context, {})])
    assert {item.status for item in only(portal).items} == {"PASSED"}
    end = only(portal).end_time
    deliver_all(
        worker, [recorded(context, failed("a/b/test_a.py::test_late"), failed("c/test_c.py::test_new"), sequence=3)]
    )
    launch = only(portal)
    assert launch.status == "FAILED"
    suites = {item.name: item.status for item in launch.items if item.type == "SUITE"}
    assert suites == dict.fromkeys(("a", "b", "test_a.py", "c", "test_c.py"), "FAILED")
    assert {item.end_time for item in launch.items if item.type == "SUITE"} == {end}


def test_a_persons_triage_outlives_every_redelivery(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """With a tree, retries and rules for defects; a worker that lost its state changes nothing either."""
    settings = {"tree": "code", "defects": [{"types": ["ValueError"], "defect": "system_issue"}]}
    events = a_run()
    deliver_all(make_worker("first", **settings), events)
    item = only(portal).named("test_bad")
    assert item.issue is not None
    assert item.issue.issue_type == "si001"
    triage(portal, item.id, "pb001", "known bug")
    before = look(only(portal))
    deliver_all(make_worker("first", **settings), [*events, *events])
    assert look(only(portal)) == before
    deliver_all(make_worker("lost", **settings), events)
    after = only(portal).named("test_bad").issue
    assert after is not None
    assert (after.issue_type, after.comment) == ("pb001", "known bug")
