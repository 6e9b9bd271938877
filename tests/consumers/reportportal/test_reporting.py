"""What people find on ReportPortal after a run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from harness.events import FakeProducer
from harness.looks import send
from harness.runs_of import START, decided, failed, judged, passed, recorded
from testbus_consumers.runtime.delivery import Acknowledge, Delay
from testbus_consumers.runtime.leases import LEASE_S
from testbus_consumers.testing import run_context
from testbus_schemas import LaunchLinked, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer
    from testbus_sandbox.reportportal.models import Item, Launch


def pairs(found: Launch | Item) -> set[tuple[str | None, str]]:
    """Return the attributes that people see."""
    return {(attribute.key, attribute.value) for attribute in found.attributes if not attribute.system}


def test_a_run_becomes_one_launch_with_its_tests_and_failures(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """Launch, flat STEP items, failure logs, finish."""
    context = run_context(suite="unit", branch="main", commit="c0ffee" * 6, build_url="https://ci/1", started_at=START)
    ok, bad = "tests/test_a.py::test_ok", "tests/test_a.py::test_bad"
    worker.deliver(recorded(context, passed(ok), failed(bad)), decided(context))
    (launch,) = portal.launches
    assert launch.name == "web unit"
    assert launch.status == "FAILED"
    assert launch.start_time == START.replace(microsecond=123000)
    assert launch.end_time == START.replace(microsecond=123000) + timedelta(minutes=1)
    assert launch.description == "[run run-1](https://ci/1) · `main` at `c0ffeec` · `testbus show run-1`"
    assert {("project", "web"), ("suite", "unit"), ("branch", "main"), ("complete", "yes")} <= pairs(launch)
    assert [(item.name, item.type, item.status, item.parent) for item in launch.items] == [
        (ok, "STEP", "PASSED", None),
        (bad, "STEP", "FAILED", None),
    ]
    item = launch.named(bad)
    assert item.issue is not None
    assert item.issue.issue_type == "ti001"
    assert item.end_time is not None
    assert item.end_time - item.start_time == timedelta(milliseconds=250)
    assert [(log.level, log.message) for log in item.logs] == [("ERROR", f"E   ValueError: {bad} is wrong")]
    assert launch.named(ok).logs == ()
    assert launch.logs == ()


def test_an_event_is_held_to_its_own_lease(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """What an earlier event held has run out long ago, and is nobody's business any more."""
    context = run_context(started_at=START)
    assert isinstance(worker.deliver(recorded(context, passed("test_a"))), Acknowledge)
    worker.run_timers(LEASE_S + 1)
    assert isinstance(worker.deliver(recorded(context, passed("test_b"), sequence=3)), Acknowledge)
    assert [item.name for launch in portal.launches for item in launch.items] == ["test_a", "test_b"]


def test_items_carry_what_the_pytest_agent_tells(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Code reference, test case, parameters, markers; and what it cannot know: variant, shard, fingerprint."""
    context = run_context(variant="py3.12", shard={"index": 1, "total": 4}, started_at=START)
    result = failed(
        "tests/test_a.py::TestA::test_p[2-x]",
        code_ref="tests/test_a.py:TestA.test_p",
        parameters={"n": "2", "name": "x"},
        markers=[
            {"name": "smoke"},
            {"name": "owner", "args": ["ann", "bob"]},
            {"name": "parametrize", "args": ["n,name"]},
        ],
    )
    worker.deliver(recorded(context, result))
    item = portal.launches[0].named(result.node_id)
    assert item.code_ref == "tests/test_a.py:TestA.test_p"
    assert item.test_case_id == "tests/test_a.py:TestA.test_p[2,x]"
    assert item.parameters == (("n", "2"), ("name", "x"))
    assert pairs(item) == {
        (None, "smoke"),
        ("owner", "ann"),
        ("variant", "py3.12"),
        ("shard", "1/4"),
        ("fingerprint", fingerprint(result.failures[0])),
    }


@pytest.mark.parametrize(
    ("outcome", "status", "issue"),
    [
        ("passed", "PASSED", None),
        ("failed", "FAILED", "ti001"),
        ("error", "FAILED", "ti001"),
        ("timeout", "FAILED", "ti001"),
        ("skipped", "SKIPPED", "ti001"),
        ("xfailed", "SKIPPED", "ti001"),
        ("xpassed", "PASSED", None),
        ("not_run", "SKIPPED", None),
        ("not_reported", "INTERRUPTED", None),
        ("something_newer", "FAILED", "ti001"),
    ],
)
def test_outcomes_become_the_statuses_of_the_pytest_agent(
    worker: ConsumerHarness, portal: ReportPortalServer, outcome: str, status: str, issue: str | None
) -> None:
    """Each outcome has its status and, where a person has to look, "To Investigate"."""
    worker.deliver(recorded(run_context(started_at=START), passed("test_a", outcome=outcome)))
    item = portal.launches[0].named("test_a")
    assert item.status == status
    assert (item.issue.issue_type if item.issue else None) == issue


def test_skipped_tests_need_not_be_issues(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """With skipped_is_issue off nobody has to investigate a skipped test."""
    worker = make_worker(skipped_is_issue=False)
    worker.deliver(recorded(run_context(started_at=START), passed("test_a", outcome="skipped", reason="no database")))
    item = portal.launches[0].named("test_a")
    assert (item.status, item.issue, item.description) == ("SKIPPED", None, "no database")


def test_shards_and_variants_write_into_one_launch(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """The same test in two variants is two items of one launch, which tells of both variants."""
    for index, variant in enumerate(("py3.11", "py3.12")):
        context = run_context(variant=variant, labels={"python": variant[2:]}, started_at=START)
        worker.deliver(recorded(context, passed("test_a"), producer=f"p{index}"))
    (launch,) = portal.launches
    assert [pairs(item) for item in launch.items] == [{("variant", "py3.11")}, {("variant", "py3.12")}]
    assert {("variant", "py3.11"), ("variant", "py3.12"), ("python", "3.11"), ("python", "3.12")} <= pairs(launch)


def test_a_retried_test_counts_once(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """The last attempt is the test's, earlier ones are its retries, and the launch passes."""
    context = run_context(started_at=START)
    worker.deliver(
        recorded(context, failed("test_flaky"), passed("test_b")),
        recorded(context, failed("test_flaky", attempt=2), passed("test_flaky", attempt=3), sequence=3),
        decided(context),
    )
    (launch,) = portal.launches
    assert launch.status == "PASSED"
    last = launch.named("test_flaky")
    assert last.status == "PASSED"
    assert ("attempt", "3") in pairs(last)
    earlier = [item for item in launch.items if item.name == "test_flaky" and item is not last]
    assert [item.retry_of for item in earlier] == [last.uuid, last.uuid]
    assert [len(item.logs) for item in earlier] == [1, 1]


def test_a_job_that_the_ci_ran_again_takes_the_place_of_the_first(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """A test that failed at first and passes now counts once; one that is new is an item like any other."""
    first, again = run_context(started_at=START), run_context(started_at=START, attempt=2)
    worker.deliver(recorded(first, failed("test_a"), passed("test_b")), decided(first))
    assert portal.launches[0].status == "FAILED"
    worker.deliver(recorded(again, passed("test_a"), passed("test_b"), passed("test_c"), producer="p2"))
    worker.deliver(decided(again, revision=2))
    (launch,) = portal.launches
    assert launch.status == "PASSED"
    assert {item.name for item in launch.items if item.retry_of} == {"test_a", "test_b"}
    assert launch.named("test_a").status == "PASSED"
    assert launch.named("test_c").parent is None


def test_a_second_attempt_waits_for_the_first(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Out of order, it is put off and not counted; once the first one is there it takes its place."""
    context = run_context(started_at=START)
    first = recorded(context, failed("test_flaky"))
    second = recorded(context, passed("test_flaky", attempt=2), sequence=3)
    worker.deliver(second)
    assert [(delay.seconds, delay.attempt) for delay in worker.delays] == [(5, 0)]
    worker.deliver(first, second)
    assert portal.launches[0].named("test_flaky").status == "PASSED"
    assert len(portal.launches[0].children()) == 1


def test_a_second_attempt_does_not_wait_for_ever(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """When the first one has not come after ten minutes of waiting, however old the event, it is reported alone."""
    context = run_context(started_at=START)
    old = recorded(context, passed("test_flaky", attempt=2), age=timedelta(days=1))
    assert isinstance(worker.deliver(old), Delay)
    worker.run_timers(601)
    assert isinstance(worker.deliver(old), Acknowledge)
    assert portal.launches[0].named("test_flaky").status == "PASSED"


def test_nothing_starts_before_the_launch(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Clocks differ: a test that began before its run is moved to the run's start, also by another worker's launch."""
    early = START - timedelta(minutes=5)
    worker.deliver(recorded(run_context(started_at=START), passed("test_a", started_at=early)))
    other = run_context(started_at=early, shard={"index": 2, "total": 2})
    worker.policy.client.drop(portal.launches[0].uuid)
    worker.deliver(recorded(other, passed("test_b", started_at=early), producer="p2"))
    (launch,) = portal.launches
    assert [item.start_time for item in launch.items] == [launch.start_time, launch.start_time]


def test_an_incomplete_run_is_interrupted_and_says_what_is_missing(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """Status INTERRUPTED, attribute and reasons; when the rest came, attributes and description are corrected."""
    context = run_context(started_at=START)
    worker.deliver(recorded(context, passed("test_a")), decided(context, missing=("shard 2 of 2 never reported",)))
    (launch,) = portal.launches
    assert launch.status == "INTERRUPTED"
    assert ("complete", "no") in pairs(launch)
    assert launch.description == "**Incomplete**: shard 2 of 2 never reported\n\n`testbus show run-1`"
    worker.deliver(recorded(context, passed("test_b"), producer="p2"), decided(context, revision=2))
    (launch,) = portal.launches
    assert {item.name for item in launch.items} == {"test_a", "test_b"}
    assert ("complete", "yes") in pairs(launch)
    assert ("complete", "no") not in pairs(launch)
    assert launch.description == "`testbus show run-1`"


def test_the_verdict_is_on_the_launch_and_the_latest_one_stays(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """Attributes and description tell verdict and rules; an older verdict that comes late changes nothing."""
    context = run_context(started_at=START, labels={"os": "linux"})
    worker.deliver(decided(context), judged(context, "passed", revision=2), judged(context, "failed", revision=1))
    (launch,) = portal.launches
    assert {("verdict", "passed"), ("gate.pass_rate", "passed"), ("os", "linux")} <= pairs(launch)
    assert (launch.description or "").startswith("**Passed**: ")
    worker.deliver(judged(context, "failed", revision=3))
    (launch,) = portal.launches
    assert [value for key, value in pairs(launch) if key == "verdict"] == ["failed"]
    failed = "**Failed**: pass rate: 3 of 4 tests did not pass; no test fails (0 passed)"
    assert launch.description == f"{failed}\n\n`testbus show run-1`"


def test_what_an_older_version_wrote_is_brought_up_to_date(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Its paragraphs are known for ours; one that a person changed is left as it is."""
    context = run_context(started_at=START)
    worker.deliver(judged(context, "failed"))
    (launch,) = portal.launches
    before = "[Build](https://ci/1) · run `run-1`\n\n**Verdict failed**: 3 of 4 tests did not pass"
    send(portal, "PUT", f"launch/{launch.id}/update", {"description": before})
    worker.deliver(judged(context, "passed", revision=2))
    (launch,) = portal.launches
    assert launch.description == "**Passed**: 0 tests passed\n\n[Build](https://ci/1) · run `run-1`"
    mine = f"{launch.description}\n\nKnown: the database was down."
    send(portal, "PUT", f"launch/{launch.id}/update", {"description": mine})
    worker.deliver(judged(context, "failed", revision=3))
    assert portal.launches[0].description == mine


def test_a_launch_is_told_of_with_its_address(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Once it is there: `launch.linked` names target, number and the page that ReportPortal's own client names."""
    context = run_context(started_at=START)
    worker.deliver(recorded(context, passed("test_a")), recorded(context, passed("test_b")), decided(context))
    (event,) = [event for event in worker.emitted if event.name == "launch.linked"]
    (launch,) = portal.launches
    assert isinstance(event.data, LaunchLinked)
    assert (event.data.uuid, event.data.number) == (launch.uuid, launch.number)
    assert event.data.url == f"{portal.url}/ui/#{portal.project}/launches/all/{launch.id}"
    assert event.data.context.run == "run-1"


def test_a_run_without_results_is_a_launch_too(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Started by whichever event comes first, finished when the run is over."""
    context = run_context(started_at=START)
    worker.deliver(FakeProducer(context=context).started())
    assert portal.launches[0].status == "IN_PROGRESS"
    worker.deliver(decided(context, finished_at=START - timedelta(hours=1)))
    (launch,) = portal.launches
    assert (launch.status, launch.end_time) == ("PASSED", launch.start_time)


def test_runs_of_other_projects_are_left_out(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """The filter answers with its reason, and nothing is sent."""
    worker = make_worker(projects=["shop"])
    settlement = worker.deliver(recorded(run_context(started_at=START), passed("test_a")))
    assert settlement == Acknowledge(note="left out: web is not among the target's projects")
    main_only = make_worker("main", projects=["w*"], branches=["main", "release/*"])
    assert "branch fix is not among" in str(main_only.deliver(FakeProducer(branch="fix").started()))
    assert "without a branch" in str(main_only.deliver(FakeProducer(name="p2").started()))
    assert portal.requests.total == 0


def test_two_requests_for_a_test_and_one_for_a_hundred_logs(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """200 results with 150 logs: one launch, 200 starts, 200 finishes, two batches."""
    context = run_context(started_at=START)
    results = [failed(f"test_{n}") if n < 150 else passed(f"test_{n}") for n in range(200)]
    worker.deliver(recorded(context, *results))
    assert portal.requests.by_route == {
        "POST /api/v1/{project}/launch": 1,
        "GET /api/v1/{project}/launch/uuid/{key}": 1,
        "POST /api/v1/{project}/item": 200,
        "PUT /api/v1/{project}/item/{uuid}": 200,
        "POST /api/v1/{project}/log": 2,
    }
    assert portal.totals.logs == 150
    assert all(len(item.logs) == (1 if item.status == "FAILED" else 0) for item in portal.launches[0].items)


def test_what_a_database_would_not_take_is_made_to_fit(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Long parameters and control characters: the test is reported, and its test case stays its own."""
    context = run_context(started_at=START)
    results = [
        passed(f"test_a[{n}]", code_ref="test_a.py:test_a", parameters={"p": "x" * 2000 + f"\x00{n}"}) for n in range(2)
    ]
    worker.deliver(recorded(context, *results))
    cases = [item.test_case_id or "" for item in portal.launches[0].items]
    assert len(set(cases)) == 2
    assert all(len(case) == 1024 for case in cases)
    assert all("\x00" not in value for item in portal.launches[0].items for _, value in item.parameters)
