"""`testbus overrides`, embedded: what a person decides is published, kept, listed and ended."""

from __future__ import annotations

import json
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
