"""What people find of a test's log records and steps on ReportPortal."""

from __future__ import annotations

import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.looks import deliver_all, look, only, pairs
from harness.runs_of import START, decided, failed, passed, recorded, whole
from testbus_broker.topology import DELIVERY_LIMIT
from testbus_consumers.runtime.completion import OVERDUE_S
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.testing import run_context
from testbus_schemas import LogRecord, Step
from testbus_schemas.results import Marker, Output
from tests.consumers.runtime.samples import delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer
    from testbus_sandbox.reportportal.models import Item, Launch

CONTEXT = run_context(started_at=START)


def at(seconds: float) -> Any:
    """Return an instant of the run."""
    return START + timedelta(seconds=seconds)


def said(seconds: float, message: str, level: str = "info") -> LogRecord:
    """Return a log record."""
    return LogRecord(time=at(seconds), level=level, message=message, logger="shop")


STEPS = (
    Step(
        name="log in",
        started_at=at(1.01),
        duration_s=0.05,
        logs=(said(1.02, "as ann"),),
        steps=(Step(name="type", started_at=at(0.5), duration_s=0.01, logs=(said(1.03, "slow", "warn"),)),),
    ),
    Step(name="pay", started_at=at(1.1), duration_s=0.1, outcome="failed", logs=(said(1.15, "no money", "fatal"),)),
)


def forget(store: Any) -> None:
    """Let a ReportPortal forget what it knows by uuid."""
    store.launch_by_uuid.clear()
    store.item_by_uuid.clear()


def below(launch: Launch, item: Item | None = None) -> list[Any]:
    """Return (name, status, in statistics, logs, what is below) of items."""
    return [
        (one.name, one.status, one.has_stats, [(log.level, log.message) for log in one.logs], below(launch, one))
        for one in launch.children(item)
    ]


def test_records_keep_their_level_time_and_order(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Each is an entry of its own; the same text is not shown again; equal instants keep their order."""
    logs = (said(1.1, "b", "debug"), said(1.1, "a", "error"), said(1.05, "clock moved"), said(1.2, "odd", "notice"))
    output = (Output(name="log", text="b a"), Output(name="stdout", text="printed"))
    worker.deliver(recorded(CONTEXT, failed("test_a", logs=logs, output=output), failed("test_b", output=output)))
    item = only(portal).named("test_a")
    assert [(log.level, log.message) for log in sorted(item.logs, key=lambda log: log.time)] == [
        ("DEBUG", "b"),
        ("ERROR", "a"),
        ("INFO", "clock moved"),
        ("INFO", "odd"),
        ("ERROR", "E   ValueError: test_a is wrong"),
        ("INFO", "printed"),
    ]
    times = {log.message: log.time for log in item.logs}
    assert times["b"] == times["a"] == at(1.1).replace(microsecond=223000)
    assert [log.message for log in only(portal).named("test_b").logs][1:] == ["b a", "printed"]


def test_steps_are_nested_items_with_their_logs(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """They count in no statistics, have their own status, and never begin before what they are in."""
    deliver_all(worker, [recorded(CONTEXT, failed("test_a", steps=STEPS)), decided(CONTEXT)])
    launch = only(portal)
    assert below(launch)[0][4] == [
        ("log in", "PASSED", False, [("INFO", "as ann")], [("type", "PASSED", False, [("WARN", "slow")], [])]),
        ("pay", "FAILED", False, [("FATAL", "no money")], []),
    ]
    assert launch.named("type").start_time == launch.named("log in").start_time
    assert launch.named("pay").end_time == launch.named("pay").start_time + timedelta(milliseconds=100)
    assert launch.named("pay").issue is None
    assert launch.status == "FAILED"
    with urllib.request.urlopen(f"{portal.url}/ui/launches/{launch.id}", timeout=5) as page:
        text = page.read().decode()
    assert text.count('<span class="chip">step</span>') == 3
    assert "1 tests, 1 failed" in text


def test_two_requests_for_a_step(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """And one for each hundred records, whatever they belong to."""
    many = tuple(said(1.1, f"record {number}") for number in range(95))
    results = [passed(f"test_{number}", steps=STEPS, logs=many) for number in range(10)]
    worker.deliver(recorded(CONTEXT, *results))
    routes = portal.requests.by_route
    assert routes["POST /api/v1/{project}/item/{parent}"] == 30
    assert routes["PUT /api/v1/{project}/item/{uuid}"] == 40
    assert routes["POST /api/v1/{project}/log"] == 10
    assert sum(len(item.logs) for item in only(portal).items) == 10 * 98


@pytest.mark.parametrize("act_first", [True, False])
def test_an_answer_lost_anywhere_leaves_no_step_twice(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer, *, act_first: bool
) -> None:
    """Whichever request fails, done or not, the event is done again with the same uuids, and nothing is twice."""
    event = recorded(CONTEXT, failed("test_a", steps=STEPS, logs=(said(1.0, "x"),)))
    deliver_all(make_worker(), [event])
    whole, requests = look(only(portal)), portal.requests.total
    for skip in range(requests):
        portal._portal.apply(forget)
        portal.faults.status(500, times=1, skip=skip, act_first=act_first)
        deliver_all(make_worker(f"state-{skip}"), [event])
        portal.faults.clear()
        assert look(portal.launches[-1]) == whole, f"request {skip}"


def test_what_our_own_finish_interrupted_is_finished_again(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """Wherever a worker was when it stopped: its event comes again after the launch was finished without it.

    So it is with many steps and a low rate, where one event takes longer than a worker may take.
    """
    paid = Step(name="pay", started_at=at(1.1), duration_s=0.1)
    start, event, end = whole(CONTEXT, passed("test_a", steps=STEPS[:1]), passed("test_b", steps=(paid,)))
    undisturbed = make_worker(concurrency=1)
    deliver_all(undisturbed, [start, event, *undisturbed.decisions(start, event, end)])
    wanted, requests = look(only(portal)), portal.requests.total
    assert {item.status for item in only(portal).items} == {wanted["launch"][1]} == {"PASSED"}
    finished_without = 0
    for skip in range(requests):
        portal._portal.apply(forget)
        worker = make_worker(f"state-{skip}", concurrency=1)
        portal.faults.status(503, path="/item", skip=skip)
        if isinstance(worker.deliver(event), Acknowledge):
            break
        portal.faults.clear()
        worker.deliver(start, *worker.decisions(start, event, end))
        assert portal.launches[-1].status == "IN_PROGRESS"
        worker.run_timers(2 * OVERDUE_S)
        assert "1 results.recorded never reached" in (portal.launches[-1].description or "")
        finished_without += 1
        deliver_all(worker, [event])
        assert look(portal.launches[-1]) == wanted, f"stopped at request {skip}"
    assert finished_without >= 10


def test_forty_passed_tests_at_a_low_rate_are_passed(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """A worker that was killed in the middle, and an event that is put off until there is a turn for it."""
    steps = tuple(Step(name=f"step {n}", started_at=at(1.1), duration_s=0.01) for n in range(3))
    start, event, end = whole(CONTEXT, *(passed(f"test_{n}", steps=steps) for n in range(40)))
    worker, busy = make_worker(rate_per_s=200), make_worker(rate_per_s=200)
    worker.deliver(start, *worker.decisions(start, event, end))
    portal.faults.status(503, skip=150)
    assert isinstance(worker.deliver(event), Delay)
    portal.faults.clear()
    busy.policy.limits.take("reportportal.eu", every_s=20)
    assert isinstance(busy.deliver(event, delays=1), Delay)
    worker.run_timers(OVERDUE_S)
    assert only(portal).status == "IN_PROGRESS"
    worker.run_timers(2 * OVERDUE_S)
    assert {item.status for item in only(portal).items} == {"FAILED", "INTERRUPTED"}
    deliver_all(worker, [event])
    launch = only(portal)
    assert {item.status for item in launch.items} == {launch.status} == {"PASSED"}
    assert len([item for item in launch.items if item.name.startswith("test_")]) == 40
    assert ("complete", "yes") in pairs(launch.attributes)


def test_an_event_that_is_redriven_after_the_finish_corrects_the_launch(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """The launch says what could not be reported, and once that is there that nothing is missing."""
    start, event, end = whole(CONTEXT, passed("test_ok"), failed("test_bad"))
    worker.deliver(start)
    assert isinstance(worker.deliver_raw(delivery(event, unanswered=DELIVERY_LIMIT)), DeadLetter)
    worker.deliver(*worker.decisions(start, event, end))
    assert "1 results.recorded could not be handled" in (only(portal).description or "")
    assert ("complete", "no") in pairs(only(portal).attributes)
    deliver_all(worker, [event])
    launch = only(portal)
    assert {item.name: item.status for item in launch.items} == {"test_ok": "PASSED", "test_bad": "FAILED"}
    assert launch.status == "FAILED"
    assert ("complete", "yes") in pairs(launch.attributes)
    assert "could not be handled" not in (launch.description or "")


def test_markers_that_the_agent_knows_name_tests_cases_and_issues(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """`name`, `tc_id` and `issue` say what the official agent makes of them."""
    keywords = {"issue_id": "AB-1\nAB-2", "reason": "known", "issue_type": "PB", "url": "https://bts/{issue_id}"}
    result = failed(
        "test_a.py::test_a[1-2]",
        code_ref="test_a.py:test_a",
        description="Pays.\n\nWith a card.",
        parameters={"a": "1", "b": "2"},
        markers=(
            Marker(name="name", args=("Paying",)),
            Marker(name="tc_id", args=("T-7",), keywords={"parameterized": "True", "params": "b"}),
            Marker(name="issue", keywords=keywords),
        ),
    )
    worker.deliver(recorded(CONTEXT, result))
    item = only(portal).named("Paying")
    assert (item.test_case_id, item.description) == ("T-7[2]", "Pays.\n\nWith a card.")
    assert {("issue", "AB-1"), ("issue", "AB-2")} <= set(pairs(item.attributes))
    assert item.issue is not None
    assert (item.issue.issue_type, item.issue.comment) == (
        "pb001",
        "* known: [AB-1](https://bts/AB-1) [AB-2](https://bts/AB-2)",
    )
