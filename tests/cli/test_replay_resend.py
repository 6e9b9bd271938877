"""`testbus replay --resend` on an embedded home: a target is asked first, and gets again what it has lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from testbus_sandbox import Sandbox
from tests.cli.replays import Home, picture
from tests.sandbox.api import Api

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Home]:
    """Give a home with two runs that are told on a ReportPortal, in Jira and in Slack."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("TESTBUS_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    with Sandbox(reportportals=("a",), channels=("ci",), jira=True) as sandbox:
        one = Home(folder=tmp_path, sandbox=sandbox, printed=capsys)
        jira = sandbox.jira
        filed = {"url": jira.url, "user": jira.user, "token": one.secret("jira", jira.token), "project": jira.project}
        one.configure(
            reportportal={"targets": {"a": one.portal("a")}},
            slack=one.slack(),
            jira=filed | {"branches": ["*"], "timeout_s": 0.9, "settle_s": 2},
        )
        one.publish("r1", "r2")
        one.drain()
        yield one


def launches(home: Home) -> dict[str, str]:
    """Return the launches that are there: run → uuid."""
    return {
        run: launch.uuid
        for launch in home.sandbox.reportportal("a").launches
        for run in ("r1", "r2")
        if f"`testbus show {run}`" in (launch.description or "")
    }


def counted(home: Home) -> dict[str, Any]:
    """Return how much is on the ReportPortal."""
    found = home.sandbox.reportportal("a").launches
    return {
        "launches": len(found),
        "items": sum(len(launch.items) for launch in found),
        "logs": sum(len(item.logs) for launch in found for item in launch.items),
    }


def test_a_launch_that_was_deleted_is_there_again_and_nothing_twice(home: Home) -> None:
    """With its items, logs, status and verdict; and the other one is as it was. The second time changes nothing."""
    before, how_much, was = picture(home.sandbox, "a"), counted(home), launches(home)
    with Api(home.sandbox.reportportal("a")) as person:
        assert person.delete_launch(was["r1"]).status_code == 200
    assert picture(home.sandbox, "a") != before
    said = len(home.sandbox.slack.messages)
    for _ in range(2):
        told = home.replayed("reportportal/a", "--resend", "--yes")
        assert (told["mode"], told["sent"]) == ("resend", told["wanted"])
        home.drain()
        assert picture(home.sandbox, "a") == before
        assert counted(home) == how_much
        assert launches(home) == was
    assert len(home.sandbox.slack.messages) == said


def test_without_yes_it_is_only_counted(home: Home) -> None:
    """What would be done is said, nothing is done, and the exit code says so."""
    code, out, err = home.run("replay", "reportportal/a", "--resend")
    assert code == 2
    assert "were done and would be asked for at the target" in out
    assert "--yes" in err
    assert home.run("replay", "reportportal/a", "--resend", "--dry-run")[0] == 0
    with Api(home.sandbox.reportportal("a")) as person:
        person.delete_launch(launches(home)["r1"])
    home.drain()
    assert set(launches(home)) == {"r2"}


def test_a_persons_triage_stays(home: Home) -> None:
    """An item that is there is not finished again: that would undo what a person has found out."""
    with Api(home.sandbox.reportportal("a")) as person:
        (failed,) = [
            item
            for launch in home.sandbox.reportportal("a").launches
            if launch.uuid == launches(home)["r1"]
            for item in launch.items
            if item.status == "FAILED"
        ]
        number = person.get(f"item/uuid/{failed.uuid}").json()["id"]
        issue = {"issues": [{"testItemId": number, "issue": {"issueType": "pb001", "comment": "known"}}]}
        assert person.put("item", issue).status_code == 200
        home.replayed("reportportal/a", "--resend", "--yes")
        home.drain()
        assert person.get(f"item/uuid/{failed.uuid}").json()["issue"]["issueType"] == "pb001"


def test_slack_posts_again_what_was_deleted_when_people_are_to_be_told(home: Home) -> None:
    """The message of one run, once; the others stay."""
    slack = home.sandbox.slack
    before = sorted(message.text for message in slack.messages)
    slack.delete(next(message for message in slack.messages if message.thread_ts is None))
    assert len(slack.messages) < len(before)
    for _ in range(2):
        home.replayed("slack", "--resend", "--notify", "--yes")
        home.drain()
        assert sorted(message.text for message in slack.messages) == before


def test_jira_files_again_what_was_deleted_when_people_are_to_be_told(home: Home) -> None:
    """One issue for the cause that lost its own, and no second one for any."""
    jira = home.sandbox.jira
    filed = [issue.key for issue in jira.issues]
    home.replayed("jira", "--resend", "--notify", "--yes")
    home.drain()
    assert [issue.key for issue in jira.issues] == filed
    jira.delete(filed[0])
    home.replayed("jira", "--resend", "--notify", "--yes")
    home.drain()
    assert len(jira.issues) == len(filed)
