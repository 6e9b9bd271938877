"""Issues on items: whichever comes first, and whatever a person has made of the item."""

from __future__ import annotations

import json
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from harness.looks import deliver_all
from harness.runs_of import START, decided, failed, passed, recorded
from harness.support import wait_until
from testbus_consumers.reportportal import state as kept
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.testing import run_context
from testbus_schemas import Event, EventData, Failure, IssueLinked, derived, fingerprint
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer

#: Route of a request that links.
LINK = "PUT /api/v1/{project}/item/issue/link"

CONTEXT = run_context(started_at=START)

#: Two causes: one of two tests, one of one.
FIRST, SECOND = (Failure(type="ValueError", message=message, text="...") for message in ("bad 1", "worse"))
RESULTS = (
    failed("test_a", failures=(FIRST,)),
    failed("test_b", failures=(FIRST,)),
    failed("test_c", failures=(SECOND,)),
    passed("test_d"),
)


def linked(failure: Failure = FIRST, key: str = "SHOP-17", **fields: Any) -> Event[EventData]:
    """Return an issue.linked of the run."""
    data = {"tracker": "jira", "key": key, "url": f"https://jira.example.com/jira/browse/{key}", "action": "created"}
    found = IssueLinked(context=CONTEXT, fingerprint=fingerprint(failure), **data | fields)
    return derived(found, consumer="jira", event_id=new_id())


def triage(portal: ReportPortalServer, name: str) -> None:
    """Decide on an item's defect, as a person does on the page."""
    issue = {"issueType": "pb001", "comment": "looked at"}
    request = urllib.request.Request(
        f"{portal.url}/api/v1/{portal.project}/item",
        method="PUT",
        data=json.dumps({"issues": [{"testItemId": portal.launches[0].named(name).id, "issue": issue}]}).encode(),
        headers={"Authorization": f"Bearer {portal.api_key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5):
        pass


def tickets(portal: ReportPortalServer) -> dict[str, list[str]]:
    """Return the keys of the tickets of each item."""
    return {
        item.name: [ticket.ticket_id for ticket in item.issue.external] if item.issue else []
        for item in portal.launches[0].items
    }


def test_the_items_of_a_cause_show_its_issue(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Those that failed for it, and no others; in one request."""
    worker.deliver(recorded(CONTEXT, *RESULTS))
    assert worker.deliver(linked()) == Acknowledge(note="SHOP-17 on 2 items")
    assert tickets(portal) == {"test_a": ["SHOP-17"], "test_b": ["SHOP-17"], "test_c": [], "test_d": []}
    issue = portal.launches[0].named("test_a").issue
    assert issue is not None
    (ticket,) = issue.external
    assert (ticket.url, ticket.bts_url, ticket.bts_project) == (
        "https://jira.example.com/jira/browse/SHOP-17",
        "https://jira.example.com/jira",
        "SHOP",
    )
    assert portal.requests.by_route[LINK] == 1


def test_an_issue_may_come_before_the_items(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """They get it when they are reported, in however many events; the launch need not be there."""
    assert worker.deliver(linked()) == Acknowledge(note="SHOP-17 on 0 items")
    assert portal.launches == ()
    worker.deliver(recorded(CONTEXT, *RESULTS[:1]), recorded(CONTEXT, *RESULTS[1:], sequence=3), decided(CONTEXT))
    assert tickets(portal) == {"test_a": ["SHOP-17"], "test_b": ["SHOP-17"], "test_c": [], "test_d": []}
    assert portal.requests.by_route[LINK] == 2


def test_a_persons_triage_stays(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Type and comment are theirs; the issue is added."""
    worker.deliver(recorded(CONTEXT, *RESULTS))
    triage(portal, "test_a")
    worker.deliver(linked(), linked(key="SHOP-18"))
    issue = portal.launches[0].named("test_a").issue
    assert issue is not None
    assert (issue.issue_type, issue.comment) == ("pb001", "looked at")
    assert tickets(portal)["test_a"] == ["SHOP-17", "SHOP-18"]


def test_what_is_linked_already_is_left_alone(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """The issue was told again for the same run, or all state was lost: nothing is sent."""
    make_worker().deliver(recorded(CONTEXT, *RESULTS), linked())
    again = make_worker("fresh")
    again.deliver(linked(action="updated"), recorded(CONTEXT, *RESULTS))
    assert portal.requests.by_route[LINK] == 1
    assert tickets(portal)["test_a"] == ["SHOP-17"]


def test_a_test_that_passed_in_the_end_shows_no_issue(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Its last attempt has no defect; that does not keep the others from showing theirs."""
    worker.deliver(recorded(CONTEXT, *RESULTS), recorded(CONTEXT, passed("test_a", attempt=2), sequence=3), linked())
    launch = portal.launches[0]
    assert launch.named("test_a").issue is None
    (ticket,) = (launch.named("test_b").issue or pytest.fail("no issue")).external
    assert ticket.ticket_id == "SHOP-17"


def test_a_defect_that_goes_between_look_and_link_is_looked_at_again(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """ReportPortal refuses the whole request for one such item: the others are linked by the next."""
    worker.deliver(recorded(CONTEXT, *RESULTS))
    changing = portal._portal.store.items[1]
    portal.faults.latency(300, method="PUT", path="/issue/link$", times=1)
    thread = threading.Thread(target=worker.deliver, args=(linked(),))
    thread.start()
    wait_until(lambda: portal.requests.by_route.get("GET /api/v1/{project}/item/uuid/{key}", 0) >= 2, 10, "looked")
    portal._portal.apply(lambda _: setattr(changing, "issue", None))
    wait_until(lambda: not thread.is_alive(), 30, "linked")
    assert tickets(portal) == {"test_a": [], "test_b": ["SHOP-17"], "test_c": [], "test_d": []}


@pytest.mark.parametrize("act_first", [False, True])
def test_a_lost_answer_is_made_good(worker: ConsumerHarness, portal: ReportPortalServer, *, act_first: bool) -> None:
    """Whether ReportPortal did it or not, the next delivery leaves each item with one ticket; no attempt is counted."""
    worker.deliver(recorded(CONTEXT, *RESULTS))
    event = linked()
    portal.faults.status(503, path="/issue/link$", times=1, act_first=act_first)
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    assert isinstance(worker.deliver(event), Acknowledge)
    assert tickets(portal)["test_a"] == ["SHOP-17"]


def test_a_crash_after_the_items_were_reported_loses_no_link(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """The issue is known, the items are there, the link is not: the redelivery makes it."""
    event = recorded(CONTEXT, *RESULTS)
    worker.deliver(linked())
    portal.faults.status(503, path="/issue/link$", times=1)
    assert isinstance(worker.deliver(event), Delay)
    assert tickets(portal)["test_a"] == []
    assert isinstance(worker.deliver(event), Acknowledge)
    assert tickets(portal)["test_a"] == ["SHOP-17"]


def test_two_workers_with_issue_and_items_at_once_link_them(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """Neither knows of the other: the later one finds what the earlier one kept."""
    events = (recorded(CONTEXT, *RESULTS), linked())
    threads = [threading.Thread(target=make_worker().deliver, args=(event,)) for event in events]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads), 30, "both workers are done")
    assert tickets(portal) == {"test_a": ["SHOP-17"], "test_b": ["SHOP-17"], "test_c": [], "test_d": []}


def test_many_items_are_linked_in_requests_of_a_size_that_is_taken(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """Three hundred in each."""
    for part in range(2):
        names = (f"test_{part}_{n}" for n in range(200))
        deliver_all(
            worker, [recorded(CONTEXT, *(failed(name, failures=(FIRST,)) for name in names), sequence=part + 2)]
        )
    assert worker.deliver(linked()) == Acknowledge(note="SHOP-17 on 400 items")
    assert portal.requests.by_route[LINK] == 2


def test_only_so_many_failed_items_are_kept(
    worker: ConsumerHarness, portal: ReportPortalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that breaks everything does not fill the state."""
    monkeypatch.setattr(kept, "MOST_FAILED", 3)
    for part in range(2):
        names = (f"test_{part}_{n}" for n in range(2))
        deliver_all(
            worker, [recorded(CONTEXT, *(failed(name, failures=(FIRST,)) for name in names), sequence=part + 2)]
        )
    assert worker.deliver(linked()) == Acknowledge(note="SHOP-17 on 3 items")
    assert len(portal.launches[0].items) == 4


def test_a_run_of_which_nothing_is_heard_is_forgotten(worker: ConsumerHarness) -> None:
    """After sixty days."""
    worker.deliver(recorded(CONTEXT, *RESULTS), linked())
    assert worker.run_timers(61 * 86400) == 1
    with worker.policy.store.begin() as connection:
        for table in ("failed", "link"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


def test_an_issue_that_is_refused_costs_no_results(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """The results are reported all the same; the issue's own event is a dead letter, with ReportPortal's reason."""
    worker.deliver(linked(key=" "))
    assert worker.deliver(recorded(CONTEXT, *RESULTS)) == Acknowledge(note="4 items")
    settlement = worker.deliver(linked(SECOND, key="  "))
    assert isinstance(settlement, DeadLetter)
    assert "ticketId" in settlement.error
    assert tickets(portal)["test_a"] == []


def test_an_issue_without_an_address_is_left_out(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """ReportPortal wants one; what is no address of the web is none."""
    settlement = worker.deliver(recorded(CONTEXT, *RESULTS), linked(url="javascript:alert(1)"))
    assert settlement == Acknowledge(note="SHOP-17 has no address that ReportPortal could link to")
    assert LINK not in portal.requests.by_route
