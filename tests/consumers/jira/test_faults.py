"""Jira as it is on bad days: one issue for each cause all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers.runtime.delivery import DeadLetter, Delay
from testbus_consumers.store import jobs
from tests.consumers.jira.failing import TOKEN_VARIABLE, context, finish, launched, linked, many, reason, waiting, whole

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import JiraServer

#: The request that creates an issue.
CREATE = {"path": "/issue$", "method": "POST"}


@pytest.mark.parametrize("lag_s", [0, 60])
@pytest.mark.parametrize("how", ["status", "reset"])
def test_a_lost_answer_creates_no_second_issue(
    worker: ConsumerHarness, jira: JiraServer, how: str, lag_s: float
) -> None:
    """Created, and not said so, each of five; nor does a search find them for a minute: still five."""
    jira.lag(lag_s)
    lose(jira, how, times=5)
    worker.deliver(*whole(many(200)))
    assert (len(jira.issues), linked(worker)) == (1, [])
    finish(worker)
    assert len(jira.issues) == 5
    assert [one.action for one in linked(worker)] == ["created"] * 5
    assert jira.comments == ()
    assert {one.key for one in linked(worker)} == {issue.key for issue in jira.issues}


def lose(jira: JiraServer, how: str, **more: Any) -> None:
    """Let answers to the creation of issues get lost."""
    fault = {"act_first": True, **CREATE, **more}
    if how == "status":
        jira.faults.status(500, **fault)
    else:
        jira.faults.reset(**fault)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_launch_that_jira_did_not_take_is_linked_at_the_next_try(
    worker: ConsumerHarness, jira: JiraServer, method: str
) -> None:
    """Whichever request failed: what is known here is not yet in the issue."""
    worker.deliver(*whole(many(1, 1)))
    link = launched(context(), "eu", "https://rp.example/7")
    jira.faults.status(500, path="/issue/", method=method, times=1)
    assert isinstance(worker.deliver(link), Delay)
    assert "ReportPortal" not in jira.issues[0].text
    worker.run_timers(advance_s=60)
    worker.deliver(link)
    assert "ReportPortal" in jira.issues[0].text


def test_a_search_that_lags_is_not_believed_before_it_would_know(worker: ConsumerHarness, jira: JiraServer) -> None:
    """Until the settle time is over the worker waits, and says so; no attempt is counted."""
    jira.lag(60)
    lose(jira, "status", times=1)
    worker.deliver(*whole(many(1, 1)))
    worker.run_timers(advance_s=30)
    assert "look again in 90 s" in reason(worker)
    assert len(jira.issues) == 1
    worker.run_timers(advance_s=120)
    assert waiting(worker) == []
    assert len(jira.issues) == 1


def test_what_was_never_created_is_created_after_the_settle_time(worker: ConsumerHarness, jira: JiraServer) -> None:
    """HTTP 500 before doing anything looks the same, and is made good; two such in a row wait twice."""
    jira.faults.status(500, times=2, **CREATE)
    worker.deliver(*whole(many(1, 1)))
    began = worker.now
    finish(worker)
    assert len(jira.issues) == 1
    assert (worker.now - began).total_seconds() >= 240


def test_another_run_takes_over_what_one_could_not_finish(
    make_worker: Callable[..., ConsumerHarness], jira: JiraServer
) -> None:
    """The answer to the first run was lost; the second finds the issue, and knows whose it is."""
    worker = make_worker()
    lose(jira, "status", times=1)
    worker.deliver(*whole(many(1, 1)))
    worker.deliver(*whole(many(1, 1), context("run-2")))
    finish(worker)
    (issue,) = jira.issues
    assert "Seen in 2 runs:" in issue.text
    assert len(issue.comments) == 1
    assert {one.context.run: str(one.action) for one in linked(worker)} == {"run-1": "created", "run-2": "updated"}


def test_a_lost_answer_makes_no_second_comment(worker: ConsumerHarness, jira: JiraServer) -> None:
    """The comment is found by the run that it names."""
    worker.deliver(*whole(many(1, 1)))
    jira.faults.status(500, path="/comment$", method="POST", times=1, act_first=True)
    worker.deliver(*whole(many(1, 1), context("run-2")))
    assert waiting(worker) == ["run-2"]
    finish(worker)
    assert len(jira.comments) == 1
    assert linked(worker)[-1].action == "updated"


def test_a_rate_limit_is_kept_and_costs_no_attempt(worker: ConsumerHarness, jira: JiraServer) -> None:
    """Each time as long as Jira asks; nothing else is waited for, and nothing is asked in between."""
    jira.limit(4, 40)
    worker.deliver(*whole(many(5)))
    assert "it asks to wait 40 s" in reason(worker)
    with worker.policy.store.begin() as connection:
        (job,) = [row for row in connection.execute(jobs.JOB.select()) if row.key == "web/run-1" and row.reason]
    assert job.attempts == 0
    requests = jira.requests.total
    worker.run_timers(advance_s=39)
    assert jira.requests.total == requests
    finish(worker)
    assert len(jira.issues) == len(linked(worker)) == 5


def test_jira_that_is_down_costs_no_attempt(make_worker: Callable[..., ConsumerHarness], jira: JiraServer) -> None:
    """Refused, hanging, unwell, not Jira: the run waits, and then is filed once."""
    worker = make_worker(timeout_s=0.5, settle_s=10)
    jira.faults.refuse()
    worker.deliver(*whole(many(5)))
    assert "cannot be reached" in reason(worker)
    jira.faults.clear()
    jira.faults.hang()
    worker.run_timers(advance_s=600)
    jira.faults.clear()
    for _ in range(8):
        jira.faults.status(503, times=1)
        worker.run_timers(advance_s=600)
        assert waiting(worker) == ["run-1"]
    assert "503" in reason(worker)
    finish(worker)
    assert len(jira.issues) == 5


@pytest.mark.parametrize("lack", ["token", "wrong token", "permission"])
def test_an_account_that_may_not_waits_until_it_may(
    worker: ConsumerHarness, jira: JiraServer, lack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said what to do; once that is done nothing is lost, and nothing had to settle."""
    if lack == "token":
        monkeypatch.delenv(TOKEN_VARIABLE)
    elif lack == "wrong token":
        monkeypatch.setenv(TOKEN_VARIABLE, "wrong")
    else:
        jira.deny("CREATE_ISSUES")
    worker.deliver(*whole(many(5)))
    said = {"token": TOKEN_VARIABLE, "wrong token": "does not know the credentials", "permission": "may not do this"}
    assert said[lack] in reason(worker)
    worker.run_timers(advance_s=5)
    assert jira.issues == ()
    monkeypatch.setenv(TOKEN_VARIABLE, jira.token)
    jira.deny()
    began = worker.now
    finish(worker)
    assert len(jira.issues) == 5
    assert (worker.now - began).total_seconds() < 120


def test_issues_that_cannot_be_seen_are_not_taken_for_deleted(worker: ConsumerHarness, jira: JiraServer) -> None:
    """An account that lost its right to browse sees nothing: that must not file everything anew."""
    worker.deliver(*whole(many(5)))
    jira.deny("BROWSE_PROJECTS")
    worker.deliver(*whole(many(5), context("run-2")))
    jira.deny()
    finish(worker)
    assert len(jira.issues) == 5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "customfield_10010: Team is required.); give it a value under consumers.jira.fields.customfield_10010"),
        ({"issue_type": "Wish"}, "see consumers.jira.issue_type"),
        ({"project": "NONE"}, "the field 'project'"),
    ],
)
def test_what_jira_refuses_is_a_dead_letter_that_says_what_to_do(
    make_worker: Callable[..., ConsumerHarness], jira: JiraServer, settings: dict[str, Any], said: str
) -> None:
    """The run's decision goes to the dead letters; redriven with better settings it is filed."""
    jira.require("customfield_10010", "Team")
    events = whole(many(5))
    worker = make_worker(**settings)
    worker.deliver(*events)
    (letter,) = worker.dead_letters
    assert isinstance(letter, DeadLetter)
    assert said in letter.error
    assert jira.issues == ()
    better = make_worker(fields={"customfield_10010": {"value": "Web"}})
    better.deliver(events[-1])
    assert len(jira.issues) == 5
    assert all(issue.fields["customfield_10010"] == {"value": "Web"} for issue in jira.issues)


def test_one_refused_cause_does_not_hold_the_others(
    make_worker: Callable[..., ConsumerHarness], jira: JiraServer
) -> None:
    """Four issues, and a dead letter for the fifth; redriving files only that."""
    worker = make_worker()
    jira.faults.status(400, times=1, **CREATE)
    events = whole(many(5))
    worker.deliver(*events)
    assert (len(jira.issues), len(worker.dead_letters)) == (4, 1)
    worker.deliver(events[-1])
    assert len(jira.issues) == 5


def test_an_answer_that_is_not_jiras_is_no_answer(worker: ConsumerHarness, jira: JiraServer) -> None:
    """Nothing at that address: the run waits for a person to correct it."""
    jira.faults.status(404, path="serverInfo", times=1)
    worker.deliver(*whole(many(1, 1)))
    assert worker.dead_letters == []
    finish(worker)
    assert len(jira.issues) == 1
