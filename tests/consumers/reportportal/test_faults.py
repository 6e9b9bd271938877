"""ReportPortal as it is on bad days: nothing is lost, nothing is there twice, and nobody's triage is undone."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from harness.events import FakeProducer
from harness.looks import SETTLED_S, send, triage
from harness.runs_of import START, decided, failed, judged, passed, recorded
from harness.support import wait_until
from testbus_consumers.reportportal.launch_payloads import milliseconds
from testbus_consumers.reportportal.tree import identities_of
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.testing import run_context

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer
    from testbus_schemas import Event, EventData, Result

#: More than one batch of logs.
MANY = [failed(f"test_{n}") for n in range(120)]


@pytest.fixture
def event() -> Event[EventData]:
    """Return an event with a passed and a failed test."""
    return recorded(run_context(started_at=START), passed("test_ok"), failed("test_bad"))


def seen(portal: ReportPortalServer) -> list[tuple[str, str, int]]:
    """Return name, status and number of logs of each item."""
    return [(item.name, item.status, len(item.logs)) for launch in portal.launches for item in launch.items]


def log(worker: ConsumerHarness, portal: ReportPortalServer, result: Result) -> None:
    """Do at last what a worker asked of ReportPortal: take the log entry of a failed test."""
    ids = identities_of(worker.policy.settings, "reportportal.eu", "web", "run-1")
    key = result.key(run_context(started_at=START))
    entry = {
        "uuid": ids.log(key, 0),
        "itemUuid": ids.item(key),
        "launchUuid": ids.launch,
        "time": str(milliseconds(START + timedelta(seconds=1)) + 250),
        "level": "ERROR",
        "message": result.failures[0].text,
    }
    send(portal, "POST", "log/entry", entry)


def test_a_second_delivery_changes_nothing(
    worker: ConsumerHarness, portal: ReportPortalServer, event: Event[EventData]
) -> None:
    """What was done is not even asked for."""
    worker.deliver(event)
    before, requests = portal.launches, portal.requests.total
    assert worker.deliver(event) == Acknowledge(note="already done")
    assert (portal.launches, portal.requests.total) == (before, requests)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/launch$"),
        ("POST", "/item$"),
        ("PUT", "/item/"),
        ("POST", "/log$"),
    ],
)
def test_a_lost_answer_leaves_nothing_twice(
    worker: ConsumerHarness, portal: ReportPortalServer, event: Event[EventData], method: str, path: str
) -> None:
    """The server did it and could not say so: the next delivery finds it there."""
    portal.faults.status(500, method=method, path=path, times=1, act_first=True)
    assert isinstance(worker.deliver(event), Delay)
    assert worker.deliver(event) == Acknowledge(note="2 items")
    assert len(portal.launches) == 1
    assert sorted(seen(portal)) == [("test_bad", "FAILED", 1), ("test_ok", "PASSED", 0)]
    assert portal.launches[0].logs == ()


def test_of_a_log_batch_only_what_is_missing_is_sent_again(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """ReportPortal died in the middle of a batch: two of its entries are there, and they stay the only ones."""
    context = run_context(started_at=START)
    event = recorded(context, *MANY)
    portal.faults.status(500, method="POST", path="/log$", times=1)
    assert isinstance(worker.deliver(event), Delay)
    for result in MANY[:2]:
        log(worker, portal, result)
    assert portal.totals.logs == 2
    worker.run_timers(SETTLED_S)
    assert worker.deliver(event) == Acknowledge(note="120 items")
    assert portal.totals.logs == 120
    assert all(len(item.logs) == 1 for item in portal.launches[0].items)


def test_a_batch_that_a_hanging_server_takes_late_is_not_sent_again(
    worker: ConsumerHarness, portal: ReportPortalServer, event: Event[EventData]
) -> None:
    """It may be at work on what was given up; for as long as that may take, "not there" is not believed."""
    portal.faults.hang(method="POST", path="/log$", times=1)
    assert isinstance(worker.deliver(event), Delay)
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    assert "may have been done already" in settlement.reason
    log(worker, portal, failed("test_bad"))
    worker.run_timers(SETTLED_S)
    assert worker.deliver(event) == Acknowledge(note="2 items")
    assert portal.totals.logs == 1


def test_redelivery_never_undoes_a_persons_triage(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer, event: Event[EventData]
) -> None:
    """A worker that knows nothing (its state was lost) leaves finished items alone."""
    make_worker().deliver(event)
    triage(portal, portal.launches[0].named("test_bad").id, "pb001", "known bug")
    assert make_worker("fresh").deliver(event) == Acknowledge(note="2 items")
    issue = portal.launches[0].named("test_bad").issue
    assert issue is not None
    assert (issue.issue_type, issue.comment) == ("pb001", "known bug")
    assert len(portal.launches[0].items) == 2


def test_an_item_that_was_started_only_is_finished_by_the_next_delivery(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """A crash between start and finish leaves nothing in progress, even if the launch was finished meanwhile."""
    # One item: the request about another one could be under way still when the fault is over.
    event = recorded(run_context(started_at=START), failed("test_bad"))
    portal.faults.status(503, method="PUT", path="/item/")
    assert isinstance(worker.deliver(event), Delay)
    portal.faults.clear()
    worker.deliver(decided(run_context(started_at=START)))
    assert all(item.status in {"IN_PROGRESS", "INTERRUPTED"} for item in portal.launches[0].items)
    worker.deliver(event)
    assert seen(portal) == [("test_bad", "FAILED", 1)]


def test_a_target_that_is_down_costs_no_attempt(
    worker: ConsumerHarness, portal: ReportPortalServer, event: Event[EventData]
) -> None:
    """Refused connections and gateway errors: the event waits, uncounted, and arrives when the target is back."""
    portal.faults.refuse()
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    assert "cannot be reached" in settlement.reason
    portal.faults.clear()
    portal.faults.status(503, times=1)
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    assert worker.deliver(event) == Acknowledge(note="2 items")


def test_a_target_that_hangs_is_given_up_in_time(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer, event: Event[EventData]
) -> None:
    """After timeout_s the event waits, uncounted."""
    worker = make_worker(timeout_s=0.2)
    portal.faults.hang()
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    portal.faults.clear()
    assert worker.deliver(event) == Acknowledge(note="2 items")


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted_stops_the_target_not_the_events(
    worker: ConsumerHarness, portal: ReportPortalServer, event: Event[EventData], status: int
) -> None:
    """The message names server, project and remedy; nothing is given up."""
    portal.faults.status(status, times=1)
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    assert "does not accept the API key" in settlement.reason
    assert portal.url in settlement.reason
    assert worker.deliver(event) == Acknowledge(note="2 items")


def test_a_missing_secret_stops_the_target_not_the_events(
    make_worker: Callable[..., ConsumerHarness], event: Event[EventData]
) -> None:
    """The variable is named; nothing is given up."""
    settlement = make_worker(api_key={"env": "RP_KEY_THAT_IS_NOT_SET"}).deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    assert "RP_KEY_THAT_IS_NOT_SET" in settlement.reason


def test_an_endpoint_that_is_no_reportportal_is_said(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer, event: Event[EventData]
) -> None:
    """A wrong address must not send every event to the dead letters."""
    settlement = make_worker(endpoint=f"{portal.url}/somewhere").deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0


def test_a_refused_item_does_not_hold_up_the_others(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """The event is dead-lettered with the item's name and ReportPortal's reason; all else of it is reported."""
    blank = failed("  ", failures=(failed("x").failures[0],))
    event = recorded(run_context(started_at=START), failed("test_a"), blank, failed("test_b"))
    settlement = worker.deliver(event)
    assert isinstance(settlement, DeadLetter)
    assert "start item" in settlement.error
    assert "4001" in settlement.error
    assert sorted(seen(portal)) == [("test_a", "FAILED", 1), ("test_b", "FAILED", 1)]
    assert isinstance(worker.deliver(event), DeadLetter)
    assert sorted(seen(portal)) == [("test_a", "FAILED", 1), ("test_b", "FAILED", 1)]
    assert portal.launches[0].logs == ()


def test_two_workers_on_one_run_report_each_test_once(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """Both have the same events, in opposite order, at the same time."""
    context = run_context(started_at=START)
    events = [
        recorded(context, *(failed(f"test_{n}_{i}") for i in range(30)), sequence=n + 2, producer="p1")
        for n in range(4)
    ]
    threads = []
    for order in (events, events[::-1]):
        made = make_worker()
        threads.append(threading.Thread(target=made.deliver, args=order))
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads), 30, "both workers are done")
    again = make_worker()
    again.deliver(*events)
    assert portal.totals.items == portal.totals.finished == portal.totals.logs == 120
    assert len(portal.launches) == 1
    assert all(len(item.logs) == 1 for item in portal.launches[0].items)


def test_finishing_twice_is_done(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """The answer to the finish was lost: the next attempt finds the launch finished."""
    context = run_context(started_at=START)
    worker.deliver(recorded(context, passed("test_a")))
    portal.faults.status(500, method="PUT", path="/finish$", times=1, act_first=True)
    worker.deliver(decided(context))
    end = portal.launches[0].end_time
    assert end is not None
    assert worker.run_timers(6) == 1
    (launch,) = portal.launches
    assert (launch.status, launch.end_time) == ("PASSED", end)
    assert "complete" in {attribute.key for attribute in launch.attributes}


def test_a_description_that_a_person_wrote_stays(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """The verdict then is in the attributes only."""
    context = run_context(started_at=START)
    worker.deliver(FakeProducer(context=context).started())
    wanted = {"description": "release candidate", "attributes": [{"key": "rc", "value": "1"}]}
    send(portal, "PUT", f"launch/{portal.launches[0].id}/update", wanted)
    worker.deliver(decided(context), judged(context, "passed"))
    (launch,) = portal.launches
    assert launch.description == "release candidate"
    assert {"rc", "verdict", "complete"} <= {attribute.key for attribute in launch.attributes}


def test_a_launch_that_somebody_deleted_is_started_again(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer, event: Event[EventData]
) -> None:
    """The process still believes in it: the first answer corrects that, the next delivery reports."""
    worker = make_worker()
    worker.deliver(FakeProducer(context=run_context(started_at=START)).started())
    portal._portal.apply(lambda store: store.launch_by_uuid.clear())
    assert isinstance(worker.deliver(event), Delay)
    assert worker.deliver(event) == Acknowledge(note="2 items")
    assert {item.name for item in portal.launches[-1].items} == {"test_ok", "test_bad"}


def test_an_old_event_is_no_younger_than_its_run(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """A result without a start ends when it was recorded."""
    context = run_context(started_at=START)
    event = recorded(context, passed("test_a", started_at=None, duration_s=1), age=timedelta(minutes=1))
    worker.deliver(event)
    item = portal.launches[0].named("test_a")
    assert item.end_time is not None
    assert item.start_time >= portal.launches[0].start_time
    assert item.end_time - item.start_time == timedelta(seconds=1)
