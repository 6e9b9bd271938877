"""What stands between us and Jira, and what Jira asks for beside what was meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness.http_front import Answer, HttpFront, Request, http_front
from testbus_consumers import overview
from testbus_consumers.store.deliveries import Status
from tests.consumers.jira.failing import SAID, context, failed, finish, linked, many, reason, waiting, whole

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import JiraServer

    Make = Callable[..., ConsumerHarness]


@pytest.fixture
def front(jira: JiraServer) -> Iterator[HttpFront]:
    """Give a proxy before Jira."""
    with http_front(jira.url) as proxy:
        yield proxy


@pytest.fixture
def worker(make_worker: Make, jira: JiraServer, front: HttpFront) -> ConsumerHarness:
    """Return a worker behind the proxy; Jira's clock is the worker's."""
    made = make_worker(url=front.url)
    jira.use_clock(lambda: made.now.timestamp())  # noqa: PLW0108 a method of each moment's `now`, not of this one's
    return made


def moves(request: Request) -> bool:
    """Tell whether a request takes a transition."""
    return request.method == "POST" and request.path.endswith("/transitions")


def test_a_transition_that_needs_a_field_files_a_new_issue(
    worker: ConsumerHarness, jira: JiraServer, front: HttpFront
) -> None:
    """Refused when it is tried: the closed issue stays with the people, the cause gets another, nothing is given up."""
    refusal = json.dumps({"errorMessages": [], "errors": {"customfield_10099": "Reason is required."}}).encode()
    front.rule = lambda request: Answer(400, refusal, {"Content-Type": "application/json"}) if moves(request) else None
    worker.deliver(*whole(many(1, 1)))
    jira.close("SHOP-1")
    worker.run_timers(advance_s=60)
    worker.deliver(*whole(many(1, 1), context("run-2", started_at=worker.now)))
    assert worker.dead_letters == []
    assert [one.open for one in jira.issues] == [False, True]


def test_a_transition_whose_screen_wants_a_field_is_not_taken(
    worker: ConsumerHarness, jira: JiraServer, front: HttpFront
) -> None:
    """Jira says so before: it is not even tried."""
    fields = {"resolution": {"required": True, "hasDefaultValue": False, "name": "Resolution"}}
    way = {"id": "3", "name": "Reopen", "to": {"statusCategory": {"key": "new"}}, "fields": fields}
    offered = Answer(200, json.dumps({"transitions": [way]}).encode(), {"Content-Type": "application/json"})
    front.rule = lambda request: offered if request.method == "GET" and "/transitions" in request.path else None
    worker.deliver(*whole(many(1, 1)))
    jira.close("SHOP-1")
    worker.run_timers(advance_s=60)
    worker.deliver(*whole(many(1, 1), context("run-2", started_at=worker.now)))
    assert not any(moves(request) for request in front.seen)
    assert [one.open for one in jira.issues] == [False, True]


def test_a_comment_that_is_refused_gets_no_advice_about_new_issues(
    worker: ConsumerHarness, jira: JiraServer, front: HttpFront
) -> None:
    """A field that something else wants has no place in a new issue."""
    refusal = json.dumps({"errors": {"visibility": "Group is required."}}).encode()
    worker.deliver(*whole(many(1, 1)))
    front.rule = lambda request: (
        Answer(400, refusal, {"Content-Type": "application/json"}) if request.path.endswith("/comment") else None
    )
    worker.deliver(*whole(many(1, 1), context("run-2")))
    (letter,) = worker.dead_letters
    assert "visibility: Group is required" in letter.error
    assert "consumers.jira.fields" not in letter.error
    assert len(jira.issues) == 1


@pytest.mark.parametrize("status", [403, 404, 405, 413, 502])
def test_a_page_in_jiras_place_is_an_outage(
    worker: ConsumerHarness, jira: JiraServer, front: HttpFront, status: int
) -> None:
    """Nothing is given up, no key is blamed, and an issue that is there is not taken for deleted."""
    worker.deliver(*whole(many(1, 1)))
    front.rule = lambda _: Answer(status)
    worker.deliver(*whole(many(1, 1), context("run-2")))
    assert worker.dead_letters == []
    assert str(status) in reason(worker, "run-2")
    assert "credentials" not in reason(worker, "run-2")
    front.rule = lambda _: None
    finish(worker)
    assert len(jira.issues) == 1
    assert [one.context.run for one in linked(worker)] == ["run-1", "run-2"]


@pytest.mark.parametrize("status", [403, 404, 413])
def test_what_a_firewall_has_against_one_cause_holds_no_other(
    worker: ConsumerHarness, jira: JiraServer, front: HttpFront, status: int
) -> None:
    """The run's decision is a dead letter that says so; the other causes, and other runs, are filed."""
    word = SAID[0][1].split()[0].encode()
    front.rule = lambda request: Answer(status) if request.method == "POST" and word in request.body else None
    worker.deliver(*whole(many(5)))
    (letter,) = worker.dead_letters
    assert "firewall" in letter.error
    assert "Other requests get through" in letter.error
    assert len(jira.issues) == 4
    worker.deliver(*whole([failed(9, 4)], context("run-2")))
    assert waiting(worker) == []


@pytest.mark.parametrize("said", ["\\" * 300, "[{}]|*_" * 50, "\N{GRINNING FACE}" * 300, '"\\"' * 100, "\x01" * 300])
def test_a_description_fits_however_much_escaping_adds(make_worker: Make, jira: JiraServer, said: str) -> None:
    """Names, messages and texts of nothing but special characters: Jira takes title and description."""
    worker = make_worker(branches=["*"])
    results = [
        one.model_copy(
            update={
                "node_id": f"{one.node_id}{said}",
                "failures": tuple(
                    failure.model_copy(update={"message": said, "type": said[:200], "text": f"{said}\n" * 20})
                    for failure in one.failures
                ),
            }
        )
        for one in (failed(number, 0) for number in range(25))
    ]
    build = "https://ci.example/" + "ü" * 900
    worker.deliver(*whole(results, context(run=said[:50], branch=said[:200], suite=said[:100], build_url=build)))
    assert worker.dead_letters == []
    assert len(jira.issues) == 1
    for number in range(2):
        of = context(run=f"{said[:50]}{number}", branch=said[:200], suite=said[:100], build_url=build)
        worker.deliver(*whole(results, of))
    assert worker.dead_letters == []


def test_a_redirect_gets_no_token(worker: ConsumerHarness, front: HttpFront) -> None:
    """The run waits; the other address hears nothing."""
    with http_front("http://127.0.0.1:1/") as elsewhere:
        elsewhere.rule = lambda _: Answer(200, b"{}", {"Content-Type": "application/json"})
        for status in (301, 302, 307, 308):
            front.rule = lambda _, status=status: Answer(status, b"", {"Location": elsewhere.url})  # type: ignore[misc]
            worker.deliver(*whole(many(1, 1), context(f"run-{status}")))
        assert elsewhere.seen == []
    assert len(waiting(worker)) == 4


def test_work_that_waits_for_a_rate_limit_is_to_be_seen(worker: ConsumerHarness, jira: JiraServer) -> None:
    """The trace names it, with the reason and the time, at the decision about the run; so does the status."""
    jira.limit(4, 40)
    worker.deliver(*whole(many(5)))
    with worker.policy.store.begin() as connection:
        rows = overview.with_timers(connection, "run-1")
        assert overview.postponed(connection) == 1
    (decision,) = [row for row in rows if row.type == "run.completed"]
    assert decision.status is Status.RETRYING
    assert "it asks to wait 40 s" in decision.reason
    assert decision.next_at is not None
    finish(worker)
    with worker.policy.store.begin() as connection:
        rows = overview.with_timers(connection, "run-1")
        assert overview.postponed(connection) == 0
    assert [row.status for row in rows if row.type == "run.completed"] == [Status.DONE]
