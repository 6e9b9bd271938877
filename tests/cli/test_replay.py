"""`testbus replay` on an embedded home: fills one queue, tells nobody, and the second time there is nothing to fill."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness.events import FakeProducer
from testbus_broker.event_log import EventLog
from testbus_broker.message import message_of
from testbus_sandbox import Sandbox

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Testbus = Callable[..., subprocess.CompletedProcess[str]]

#: Events of `whole` that ReportPortal reacts to, with the decision and the verdict that follow.
FOR_REPORTPORTAL = 4


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Give two ReportPortals and a Slack."""
    with Sandbox(reportportals=("a", "c"), channels=("ci",)) as running:
        yield running


@pytest.fixture
def configure(tmp_path: Path, sandbox: Sandbox) -> Callable[..., None]:
    """Write a configuration with these targets of ReportPortal, and with Slack or without."""

    def write(*targets: str, slack: bool = False) -> None:
        def secret(name: str, value: str) -> dict[str, str]:
            (tmp_path / name).write_text(value, encoding="utf-8")
            return {"file": str(tmp_path / name)}

        portals = {name: sandbox.reportportal(name) for name in targets}
        consumers: dict[str, Any] = {
            "reportportal": {
                "targets": {
                    name: {"endpoint": one.url, "project": one.project, "api_key": secret(name, one.api_key)}
                    for name, one in portals.items()
                }
            }
        }
        if slack:
            consumers["slack"] = {
                "token": secret("slack", sandbox.slack.token),
                "channel": sandbox.slack.channel("ci").id,
                "base_url": sandbox.slack.url,
            }
        (tmp_path / "testbus.yaml").write_text(yaml.safe_dump({"consumers": consumers}), encoding="utf-8")

    return write


def publish(home: Path, *runs: str) -> None:
    """Let a producer of each run publish all that it has."""
    log = EventLog(home)
    for run in runs:
        for event in FakeProducer(f"producer-{run}", run=run).whole(test_a="passed", test_b="failed"):
            log.append([message_of(event)])
    log.close()


def picture(sandbox: Sandbox, target: str) -> list[Any]:
    """Return what a person sees on a ReportPortal, whatever its ids are."""
    return sorted(
        (
            launch.description,
            str(launch.status),
            launch.end_time is not None,
            sorted((item.name, str(item.status), [log.message for log in item.logs]) for item in launch.items),
        )
        for launch in sandbox.reportportal(target).launches
    )


def replayed(testbus: Testbus, *arguments: str) -> dict[str, Any]:
    """Replay, and return what the command says to a program."""
    done = testbus("replay", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_new_target_is_filled_from_the_log(
    testbus: Testbus, tmp_path: Path, sandbox: Sandbox, configure: Callable[..., None]
) -> None:
    """A ReportPortal that is added later is no longer told from the other one; a second replay has nothing to send."""
    configure("a")
    publish(tmp_path / ".testbus", "r1", "r2")
    testbus("drain")
    configure("a", "c", slack=True)
    assert testbus("drain").returncode == 0
    assert picture(sandbox, "c") == []
    dry = replayed(testbus, "reportportal/c", "--dry-run")
    assert (dry["missing"], dry["sent"], dry["seen"]) == (2 * FOR_REPORTPORTAL, 0, 0)
    assert replayed(testbus, "reportportal/c")["sent"] == 2 * FOR_REPORTPORTAL
    assert "all delivered" in testbus("drain").stdout
    assert picture(sandbox, "c") == picture(sandbox, "a") != []
    again = replayed(testbus, "reportportal/c")
    assert (again["sent"], again["seen"]) == (0, 2 * FOR_REPORTPORTAL)
    assert not sandbox.slack.messages


def test_slack_is_silent_about_the_past_unless_it_is_told_to_speak(
    testbus: Testbus, tmp_path: Path, sandbox: Sandbox, configure: Callable[..., None]
) -> None:
    """A new Slack knows of the old runs and says nothing; new runs it tells, and old ones with --notify."""
    configure("a")
    publish(tmp_path / ".testbus", "r1", "r2")
    testbus("drain")
    configure("a", slack=True)
    assert replayed(testbus, "slack")["sent"] == 6
    testbus("drain")
    assert not sandbox.slack.messages
    rows = json.loads(testbus("trace", "r1", "--ledger-only", "--json").stdout)["consumers"]["slack"]
    assert {(row["status"], row["reason"]) for row in rows} == {("silent", "silent: replayed")}
    publish(tmp_path / ".testbus", "r3")
    testbus("drain")
    assert len(sandbox.slack.messages) == 1
    assert replayed(testbus, "slack", "--run", "r1", "--notify")["sent"] == 3
    testbus("drain")
    assert len(sandbox.slack.messages) == 2


def test_what_a_replayed_gates_derives_is_silent_too(
    testbus: Testbus, tmp_path: Path, sandbox: Sandbox, configure: Callable[..., None]
) -> None:
    """The verdict that follows from replayed events is of the past, although Slack receives it as any other."""
    configure("a")
    publish(tmp_path / ".testbus", "r1")
    testbus("drain")
    for left in (tmp_path / ".testbus" / "state").glob("gates.sqlite3*"):
        left.unlink()
    configure("a", slack=True)
    testbus("drain")
    assert (
        json.loads(testbus("verdict", "r1", "--project", "web", "--json", "--timeout", "0").stdout)["status"]
        == "pending"
    )
    replayed(testbus, "gates")
    testbus("drain")
    assert (
        json.loads(testbus("verdict", "r1", "--project", "web", "--json", "--timeout", "5").stdout)["evaluation"][
            "verdict"
        ]
        == "failed"
    )
    rows = json.loads(testbus("trace", "r1", "--ledger-only", "--json").stdout)["consumers"]["slack"]
    assert [(row["type"], row["status"]) for row in rows] == [("gate.evaluated", "silent")]
    assert not sandbox.slack.messages


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--run", "r2"], 4),
        (["--type", "results.recorded"], 2),
        (["--project", "other"], 0),
        (["--since", "1h", "--allow-partial"], 8),
        (["--until", "1h"], 0),
    ],
)
def test_a_part_can_be_chosen(
    testbus: Testbus, tmp_path: Path, configure: Callable[..., None], arguments: list[str], wanted: int
) -> None:
    """By run, type, project and time, singly or together."""
    configure("a")
    publish(tmp_path / ".testbus", "r1", "r2")
    testbus("drain")
    assert replayed(testbus, "reportportal/a", "--dry-run", *arguments)["wanted"] == wanted


def test_a_range_that_begins_too_early_is_refused(
    testbus: Testbus, tmp_path: Path, configure: Callable[..., None]
) -> None:
    """Nobody takes a part of the past for all of it by accident."""
    configure("a")
    publish(tmp_path / ".testbus", "r1")
    done = testbus("replay", "reportportal/a", "--since", "2d")
    assert done.returncode == 2
    assert "--allow-partial" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "is not configured"),
        (["reportportal"], "which of reportportal/a, reportportal/c?"),
        (["reportportal/a", "--since", "yesterday"], "is no time"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    testbus: Testbus, tmp_path: Path, configure: Callable[..., None], arguments: list[str], said: str
) -> None:
    """Each mistake has its own message."""
    configure("a", "c")
    publish(tmp_path / ".testbus", "r1")
    done = testbus("replay", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
