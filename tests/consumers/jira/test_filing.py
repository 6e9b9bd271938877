"""What people find in Jira."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers.jira.issues import METADATA
from testbus_consumers.records.reading import Records
from testbus_consumers.runtime import retention
from testbus_consumers.store import deliveries
from testbus_schemas import Failure, decode, encode
from testbus_schemas.results import Cause
from tests.consumers.jira.failing import (
    SAID,
    context,
    decided,
    failed,
    finish,
    launched,
    linked,
    many,
    passed,
    recorded,
    shown,
    whole,
)

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.records.reading import Record
    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import JiraServer
    from testbus_schemas import RunContext


def test_a_cause_is_one_issue_with_tests_run_commit_and_link(worker: ConsumerHarness, jira: JiraServer) -> None:
    """Forty failures that read differently and mean the same."""
    worker.deliver(*whole([failed(number, 0) for number in range(40)]))
    (issue,) = jira.issues
    assert issue.summary.startswith("web · tests/test_shop.py: ValueError: invalid literal for int() with base 10: 'x")
    assert issue.type.name == "Bug"
    assert issue.project.key == "SHOP"
    assert sorted(label.partition("-")[0] for label in issue.labels) == ["testbus", "testbus"]
    text = issue.text
    for wanted in ("40 tests fail: ", "Failing tests", "… and 20 more tests", "E   ValueError: invalid literal"):
        assert wanted in text
    for wanted in ("First failing run: ", "https://ci.example/run" if jira.flavour == "datacenter" else "run run-1"):
        assert wanted in text.replace("\\", "")
    assert "c0ffeec" in text
    assert "c0ffeeco" not in text.replace("\\", "")
    assert "Seen in 1 run:" in text
    assert issue.comments == ()


def test_issue_linked_goes_out_for_every_run(worker: ConsumerHarness, jira: JiraServer) -> None:
    """Created for the first one, updated for the next; with key, address, title, tests and status."""
    worker.deliver(*whole(many(10, 2)))
    worker.deliver(*whole(many(3, 1), context("run-2")))
    first, second, third = linked(worker)
    assert {first.action, second.action} == {"created"}
    assert (third.action, third.context.run, third.status) == ("updated", "run-2", "To Do")
    assert {first.key, second.key} == {"SHOP-1", "SHOP-2"}
    issue = next(one for one in jira.issues if one.key == third.key)
    assert third.url == f"{jira.url}/browse/{issue.key}"
    assert third.title == issue.summary
    assert third.tracker == "jira"
    assert third.node_ids == tuple(f"tests/test_shop.py::test[{number}]" for number in range(3))
    assert third.fingerprint.startswith("v1:")
    events = [event for event in worker.emitted if event.name == "issue.linked"]
    assert len({event.id for event in events}) == 3
    assert decode(encode(events[0]).body) == events[0]


def test_the_table_tells_of_the_last_ten_runs(worker: ConsumerHarness, jira: JiraServer) -> None:
    """In place: what people wrote above and below it stays, and nothing is written when nothing has changed."""
    start = worker.now - timedelta(hours=20)
    worker.deliver(*whole(many(1, 1), context("run-0", started_at=start)))
    written(jira, "Known to the team. ")
    for number in range(1, 13):
        at = start + timedelta(minutes=number)
        worker.deliver(*whole(many(number, 1), context(f"run-{number}", started_at=at)))
    (issue,) = jira.issues
    lines = shown(issue)
    assert lines[0] == "Known to the team. "
    assert any("Seen in 13 runs, the latest 10 of them:" in line for line in lines)
    rows = [line for line in lines if line.count("|") >= 5]
    assert len(rows) == 11
    assert "12" in rows[1]
    assert "3" in rows[-1]
    assert sum("Occurrences" in line for line in lines) == 1
    assert any("First failing run" in line and "0" in line for line in lines)
    edits = issue.edits
    again = recorded(many(12, 1), context("run-12", started_at=at))
    worker.deliver(*(decided(again, revision=revision) for revision in (2, 3)))
    assert jira.issues[0].edits == edits


def written(jira: JiraServer, words: str) -> None:
    """Write something above an issue's description, as a person does."""
    before: Any = jira.issues[0].description
    if isinstance(before, str):
        jira.edit("SHOP-1", description=f"{words}\n\n{before}")
        return
    paragraph = {"type": "paragraph", "content": [{"type": "text", "text": words}]}
    jira.edit("SHOP-1", description={**before, "content": [paragraph, *before["content"]]})


def test_a_table_that_a_person_took_away_stays_away(worker: ConsumerHarness, jira: JiraServer) -> None:
    """The description is theirs; the comment still comes."""
    worker.deliver(*whole(many(1, 1)))
    mine: Any = "mine" if jira.flavour == "datacenter" else {"type": "doc", "version": 1, "content": []}
    jira.edit("SHOP-1", description=mine)
    worker.deliver(*whole(many(1, 1), context("run-2")))
    assert jira.issues[0].description == mine
    assert len(jira.comments) == 1


def test_one_more_run_takes_two_requests(worker: ConsumerHarness, jira: JiraServer) -> None:
    """The issue is read and changed, and not read again: Jira limits how often it is asked."""
    for run in ("run-1", "run-2"):
        worker.deliver(*whole([failed(1, 0)], context(run)))
        finish(worker)
    requests = jira.requests.total
    worker.deliver(*whole([failed(1, 0)], context("run-3")))
    assert jira.requests.total == requests + 2
    (issue,) = jira.issues
    assert "Seen in 3 runs" in issue.text


def test_an_issue_is_commented_on_at_most_once_a_day(worker: ConsumerHarness, jira: JiraServer) -> None:
    """The first time it fails again, and then not before a day has passed."""
    worker.deliver(*whole(many(2, 1)))
    for number in range(2, 8):
        worker.run_timers(advance_s=6 * 3600)
        worker.deliver(*whole(many(2, 1), context(f"run-{number}")))
    (issue,) = jira.issues
    assert len(issue.comments) == 2
    said = issue.comments[0].text
    assert said.startswith("Failed again: 2 tests in ")
    assert "Seen in 2 runs so far" in said
    assert "branch main" in said


def test_a_flaky_test_is_not_filed(worker: ConsumerHarness, jira: JiraServer) -> None:
    """It passed in a later attempt, in whatever order the attempts arrive; what failed to the end is filed for that."""
    attempts = [failed(1, 0), passed(1, attempt=2), passed(2), passed(3, attempt=2), failed(3, 1)]
    attempts += [failed(4, 2, attempt=2), failed(4, 3)]
    worker.deliver(*whole(attempts))
    assert [issue.summary.split(": ")[1] for issue in jira.issues] == [SAID[2][0]]


def test_what_a_later_attempt_of_the_ci_replaced_is_not_filed(worker: ConsumerHarness, jira: JiraServer) -> None:
    """Superseded producers do not count."""
    first = recorded([failed(1, 0), failed(2, 1)], context(), "first")
    second = recorded([passed(1), failed(2, 1)], context(attempt=2), "second")
    worker.deliver(*first, *second, decided(first + second, superseded=("run-1-first",)))
    assert [issue.summary.split(": ")[1] for issue in jira.issues] == ["KeyError"]


def test_an_incomplete_run_is_filed_for_what_did_happen(worker: ConsumerHarness, jira: JiraServer) -> None:
    """A failure is one, whatever else is missing."""
    events = recorded(many(5), context())
    worker.deliver(*events, decided(events, reasons=("shard 2 of 2 never reported",)))
    assert len(jira.issues) == 5


@pytest.mark.parametrize(
    ("fields", "settings", "filed"),
    [
        ({}, {}, True),
        ({"branch": "feature/x"}, {}, False),
        ({"branch": None}, {}, False),
        ({"branch": None}, {"branches": ["*"]}, True),
        ({"branch": "release/2"}, {"branches": ["main", "release/*"]}, True),
        ({"pull_request": "7"}, {}, False),
        ({"pull_request": "7", "branch": "x"}, {"pull_requests": True}, True),
        ({"project": "other"}, {"projects": ["web"]}, False),
        ({"project": "other"}, {"project": {"web": "SHOP"}}, False),
        ({}, {"enabled": False}, False),
    ],
)
@pytest.mark.parametrize("flavour", ["cloud"])
def test_policy_says_which_runs_are_filed(
    make_worker: Callable[..., ConsumerHarness],
    jira: JiraServer,
    fields: dict[str, Any],
    settings: dict[str, Any],
    filed: bool,  # noqa: FBT001 a parameter of the table
) -> None:
    """By default main and master, no pull requests, and no run without a branch; the ledger says why."""
    worker = make_worker(**settings)
    worker.deliver(*whole(many(1, 1), context(**fields)))
    assert bool(jira.issues) == filed
    with worker.policy.store.begin() as connection:
        reasons = [row.reason for row in deliveries.of_run(connection, "run-1")]
    assert all("left out" in reason for reason in reasons) != filed


@pytest.mark.parametrize("flavour", ["cloud"])
def test_projects_go_where_the_map_says(make_worker: Callable[..., ConsumerHarness], jira: JiraServer) -> None:
    """The same cause in two projects of Jira is two issues."""
    worker = make_worker(project={"web": "SHOP", "*": "OPS"})
    for project in ("web", "api", "batch"):
        worker.deliver(*whole(many(1, 1), context(f"run-{project}", project=project)))
    assert [issue.key for issue in jira.issues] == ["SHOP-1", "OPS-1"]


def test_a_storm_files_no_more_than_the_limit_and_says_so(
    make_worker: Callable[..., ConsumerHarness], jira: JiraServer
) -> None:
    """Those of most tests first, known causes aside; the ledger tells of the rest, which later runs file."""
    worker = make_worker(max_new_per_run=2)
    results = [failed(number, cause) for cause in range(5) for number in range(10 * cause, 10 * cause + cause + 1)]
    for number, expected in enumerate((2, 4, 5, 5)):
        worker.deliver(*whole(results, context(f"run-{number}")))
        assert len(jira.issues) == expected
    assert jira.issues[0].summary.split(": ")[1] == SAID[4][0]
    with worker.policy.store.begin() as connection:
        (told,) = [row.reason for row in deliveries.of_run(connection, "run-0") if row.type == "run.completed"]
    assert told == "2 issues created, 0 updated; 3 new causes left out: max_new_per_run is 2"


def test_a_cause_that_comes_back_reopens_its_issue(worker: ConsumerHarness, jira: JiraServer) -> None:
    """With a comment; a run that began before it was closed changes nothing of that."""
    before = worker.now - timedelta(hours=1)
    worker.deliver(*whole(many(1, 1), context(started_at=before)))
    jira.close("SHOP-1")
    worker.deliver(*whole(many(1, 1), context("run-2", started_at=before)))
    assert not jira.issues[0].open
    worker.run_timers(advance_s=25 * 3600)
    worker.deliver(*whole(many(1, 1), context("run-3", started_at=worker.now)))
    (issue,) = jira.issues
    assert issue.open
    assert issue.comments[-1].text.startswith("It came back, and the issue is open again: 1 test")
    assert linked(worker)[-1].status == "To Do"


@pytest.mark.parametrize("how", ["long ago", "for good", "deleted"])
def test_a_cause_that_cannot_reopen_its_issue_gets_a_new_one(
    worker: ConsumerHarness, jira: JiraServer, how: str
) -> None:
    """Closed too long ago, closed for good, or deleted: one new issue, which names the one before."""
    worker.deliver(*whole(many(1, 1)))
    if how == "deleted":
        jira.delete("SHOP-1")
    else:
        jira.close("SHOP-1", for_good=how == "for good")
    worker.run_timers(advance_s=31 * 86400 if how == "long ago" else 60)
    for number in (2, 3):
        worker.deliver(*whole(many(1, 1), context(f"run-{number}", started_at=worker.now)))
    issue = jira.issues[-1]
    assert [one.open for one in jira.issues] == ([True] if how == "deleted" else [False, True])
    assert issue.key == "SHOP-2"
    plain = issue.text.replace("\\", "")
    assert "Before it there was SHOP-1." in plain
    assert [one.action for one in linked(worker)] == ["created", "created", "updated"]


def test_state_that_was_lost_makes_no_second_issue(
    make_worker: Callable[..., ConsumerHarness], jira: JiraServer
) -> None:
    """A worker that knows nothing finds the issue by its label, open or closed."""
    make_worker("one").deliver(*whole(many(2, 1)))
    make_worker("two").deliver(*whole(many(2, 1), context("run-2")))
    jira.close("SHOP-1")
    third = make_worker("three")
    third.run_timers(advance_s=60)
    third.deliver(*whole(many(2, 1), context("run-3", started_at=third.now)))
    (issue,) = jira.issues
    assert issue.open
    assert linked(third)[0].action == "updated"


def test_long_and_strange_texts_fit(worker: ConsumerHarness, jira: JiraServer) -> None:
    """Markup, controls, colours, endless lines and addresses: Jira takes the issue, and nothing becomes markup."""
    nasty = "\x1b[31m*bold* {noformat} [x|http://y] |a|b| \\ \x00\x07" + "ö" * 900
    results = [failed(number, 0) for number in range(60)]
    failure = results[0].failures[0]
    changed = failure.model_copy(update={"message": nasty, "text": f"{nasty}\n" * 30})
    results = [
        one.model_copy(update={"failures": (changed,), "node_id": f"{one.node_id}{nasty}" * 2}) for one in results
    ]
    worker.deliver(*whole(results, context(branch="main", build_url="https://ci/?q=|]")))
    (issue,) = jira.issues
    assert len(issue.summary) <= 255
    assert "\x1b" not in issue.text + issue.summary
    if isinstance(issue.description, str):
        assert issue.description.count("{noformat}") == 2
        assert "\\*bold\\*" in issue.description
    finish(worker)


def test_state_grows_with_causes(worker: ConsumerHarness) -> None:
    """Not with results, nor with runs: what failed is in the record."""
    for number in range(3):
        worker.deliver(*whole(many(20), context(f"run-{number}")))
    assert {table.name: rows(worker, table.name) for table in METADATA.sorted_tables} == {"issue": 5, "launch": 0}


def rows(worker: ConsumerHarness, table: str) -> int:
    """Return how many rows a table has."""
    with worker.policy.store.begin() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def test_a_reopened_run_is_corrected_not_repeated(worker: ConsumerHarness, jira: JiraServer) -> None:
    """More of the same run: one more edit, the same row, no comment."""
    first = recorded(many(2, 1), context(), "p1")
    worker.deliver(*first, decided(first))
    second = recorded([failed(90, 0)], context(), "p2")
    worker.deliver(*second, decided(first + second, revision=2))
    (issue,) = jira.issues
    assert "Seen in 1 run:" in issue.text
    assert issue.comments == ()
    assert issue.edits == 1


def test_the_runs_launches_are_linked(worker: ConsumerHarness, jira: JiraServer) -> None:
    """Those that were heard of before the run was filed, in description and table; a later one is added to both."""
    url = "https://rp.example/ui/#web/launches/all/{}"
    worker.deliver(launched(context(), "eu", url.format(7)), *whole(many(1, 1)))
    assert addresses(jira) == [url.format(7)] * 2
    edits = jira.issues[0].edits
    later = launched(context(), "us", url.format(8))
    worker.deliver(later, later)
    assert sorted(addresses(jira)) == [url.format(7)] * 2 + [url.format(8)] * 2
    assert jira.issues[0].edits == edits + 1
    assert "ReportPortal us" in jira.issues[0].text
    worker.deliver(*whole(many(1, 1), context("run-2", started_at=worker.now + timedelta(hours=1))))
    assert sorted(addresses(jira)) == [url.format(7)] * 2 + [url.format(8)] * 2
    assert jira.comments[0].text.count("ReportPortal") == 0


@pytest.mark.parametrize("flavour", ["cloud"])
def test_a_run_that_is_filed_while_its_launch_is_told_shows_the_launch(
    worker: ConsumerHarness, jira: JiraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker decides and files between our look at the record and our look at the issues."""
    look = Records.latest

    def filed_meanwhile(records: Records, context: RunContext) -> Record | None:
        monkeypatch.setattr(Records, "latest", look)
        seen = look(records, context)
        worker.deliver(*whole(many(1, 1)))
        return seen

    monkeypatch.setattr(Records, "latest", filed_meanwhile)
    url = "https://rp.example/ui/#web/launches/all/7"
    worker.deliver(launched(context(), "eu", url))
    assert addresses(jira) == [url] * 2


@pytest.mark.parametrize("flavour", ["cloud"])
def test_a_launch_of_a_run_that_failed_for_nothing_is_kept_and_forgotten(
    worker: ConsumerHarness, jira: JiraServer
) -> None:
    """It asks nothing of Jira, and goes when the run can no longer be filed."""
    worker.deliver(launched(context(), "eu", "https://rp.example/1"))
    assert jira.requests.total == 0
    retention.begin(worker.policy)
    worker.run_timers(advance_s=27 * 86400)
    assert rows(worker, "launch") == 1
    worker.run_timers(advance_s=2 * 86400)
    assert rows(worker, "launch") == 0


def addresses(jira: JiraServer) -> list[str]:
    """Return the addresses of launches in an issue's description."""
    description = jira.issues[0].description
    text = description if isinstance(description, str) else json.dumps(description)
    return re.findall(r"https://rp[^|\]\"]+", text)


def test_a_cause_is_named_by_what_it_is_due_to(worker: ConsumerHarness, jira: JiraServer) -> None:
    """An exception that another one was raised from: one issue with those that failed with it bare."""
    bare = failed(1, 1)
    cause = Cause(type="KeyError", message="'basket-9'", relation="cause")
    wrapped = Failure(type="shop.errors.Broken", message="order 9", chain=(cause,), text="…")
    worker.deliver(*whole([bare, failed(2, 0).model_copy(update={"failures": (wrapped,)})]))
    (issue,) = jira.issues
    assert issue.summary == "web · tests/test_shop.py: KeyError: 'basket-1'"
    assert "2 tests fail" in issue.text
