"""`testbus overrides`, embedded: what a person decides is published, kept, listed and ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Testbus = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def decide(testbus: Testbus, tmp_path: Path) -> Callable[..., Any]:
    """Give what runs `testbus overrides` for the project `web`, and lets the consumers do what follows."""
    (tmp_path / ".testbus").mkdir()

    def decided(*arguments: str) -> Any:
        done = testbus("overrides", *arguments, "--project", "web", "--json")
        assert done.returncode == 0, done.stderr
        if arguments[0] != "list":
            assert testbus("drain").returncode == 0
        return json.loads(done.stdout)

    return decided


def test_an_override_is_added_listed_and_ended(testbus: Testbus, decide: Callable[..., Any]) -> None:
    """With who decided it and why, for a person and for a program."""
    added = decide(
        "add", "quarantine", "tests/test_a.py::test_a", "--for", "7d", "--reason", "SHOP-17", "--branch", "x/*"
    )
    other = decide("add", "acknowledgement", "alarm")
    found = decide("list")["overrides"]
    assert [one["id"] for one in found] == [added["id"], other["id"]]
    assert (found[0]["subject"], found[0]["scope"]["branch"]) == ("tests/test_a.py::test_a", "x/*")
    assert [one["id"] for one in decide("list", "--kind", "quarantine")["overrides"]] == [added["id"]]
    shown = testbus("overrides", "list", "--project", "web").stdout
    assert f"{added['id']}  quarantine of tests/test_a.py::test_a branch x/*\n    until " in shown
    assert ": SHOP-17\n" in shown
    assert "acknowledgement of alarm\n    until it is ended, by " in shown
    decide("end", added["id"], "--reason", "mended")
    assert [one["id"] for one in decide("list")["overrides"]] == [other["id"]]
    recorded = testbus("events", "--type", "override.recorded", "--json").stdout.splitlines()
    told = [(event["data"]["override"]["id"], event["data"]["active"]) for event in map(json.loads, recorded)]
    assert told == [(added["id"], True), (other["id"], True), (added["id"], False)]


@pytest.mark.usefixtures("decide")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "waiver", "coverage"), "a waiver says until when it holds: give --for"),
        (("add", "mute", "--for", "91d"), "a mute holds for 90 days at most: give --for"),
        (("add", "cheat", "coverage"), "'cheat' is not one of 'waiver'"),
        (("end", "nobody", "--kind", "waiver", "--for", "1d"), "No such option '--for'"),
    ],
)
def test_what_cannot_hold_is_refused_before_it_is_published(
    testbus: Testbus, arguments: tuple[str, ...], told: str
) -> None:
    """With what to write instead."""
    done = testbus("overrides", *arguments, "--project", "web")
    assert done.returncode == 2
    assert told in done.stderr


def test_only_what_holds_can_be_ended_by_its_id_alone(testbus: Testbus, decide: Callable[..., Any]) -> None:
    """A mistyped id is told at once."""
    decide("add", "acknowledgement", "alarm")
    done = testbus("overrides", "end", "nobody", "--project", "web")
    assert done.returncode == 2
    assert "no override nobody of project web holds" in done.stderr


_UNTIL = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()

_FILE = f"""
overrides:
  - kind: waiver
    subject: coverage
    branch: release/*
    until: {_UNTIL}
    reason: SHOP-17
  - {{kind: acknowledgement, subject: alarm, reason: seen}}
"""


def _apply(decide: Callable[..., Any], path: Path, text: str) -> Any:
    path.write_text(text, encoding="utf-8")
    return decide("apply", str(path))


def test_a_file_says_what_holds(decide: Callable[..., Any], tmp_path: Path) -> None:
    """What is new in it is published, what is gone from it ends, and what was decided elsewhere stays."""
    path = tmp_path / "overrides.yaml"
    elsewhere = decide("add", "acknowledgement", "another")
    assert [one["subject"] for one in _apply(decide, path, _FILE)["published"]] == ["coverage", "alarm"]
    found = {one["subject"]: one for one in decide("list")["overrides"]}
    assert set(found) == {"coverage", "alarm", "another"}
    assert found["coverage"]["until"].startswith(f"{_UNTIL}T23:59:59")
    assert (found["coverage"]["scope"]["branch"], found["coverage"]["via"]) == ("release/*", "file")
    assert _apply(decide, path, _FILE) == {"published": [], "hold": 2}
    changed = _apply(decide, path, _FILE.replace("SHOP-17", "SHOP-18").partition("  - {kind")[0])
    ended = {one["ends"]: one["subject"] for one in changed["published"][1:]}
    assert ended == {found[subject]["id"]: subject for subject in ("coverage", "alarm")}
    left = {one["id"]: one["reason"] for one in decide("list")["overrides"]}
    assert left == {elsewhere["id"]: "", changed["published"][0]["id"]: "SHOP-18"}


@pytest.mark.usefixtures("decide")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (_FILE.replace(f"    until: {_UNTIL}\n", ""), ":3: overrides.0: a waiver says until when it holds"),
        (_FILE.replace("    reason: SHOP-17\n", ""), ":3: overrides.0.reason: is missing"),
        (_FILE.replace("until", "til"), ":6: overrides.0.til: unknown key; allowed here: branch, commit, kind"),
        ("overrides: [{kind: cheat, reason: x}]", ":1: overrides.0.kind: "),
    ],
)
def test_a_fault_of_the_file_is_told_with_its_line(testbus: Testbus, tmp_path: Path, text: str, told: str) -> None:
    """And nothing of it is published."""
    (tmp_path / "overrides.yaml").write_text(text, encoding="utf-8")
    done = testbus("overrides", "apply", "overrides.yaml", "--project", "web")
    assert done.returncode == 2
    assert told in done.stderr
