"""`testbus dlq`, embedded: what was given up is seen, sent back with its id, or thrown away."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from harness.events import FakeProducer
from testbus_broker.event_log import EventLog
from testbus_broker.message import Message
from testbus_schemas import encode

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Testbus = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def given_up(testbus: Testbus, tmp_path: Path) -> str:
    """Give the id of an event that `runs` could not read: it is in the dead letters of that queue."""
    event = FakeProducer("p1").started()
    bad = encode(event).body.replace(b'"tool"', b'"fool"')
    home = tmp_path / ".testbus"
    home.mkdir()
    EventLog(home).append([Message(body=bad, routing_key=event.routing_key, message_id=event.id)])
    assert testbus("drain").returncode == 0
    return event.id


def test_dead_letters_are_listed_with_their_reason(testbus: Testbus, given_up: str) -> None:
    """The event, the place of the fault, and the body."""
    (letter,) = [json.loads(line) for line in testbus("dlq", "list", "runs", "--json").stdout.splitlines()]
    assert letter["id"] == given_up
    assert "data.tool" in letter["error"]
    assert (letter["type"], letter["project"], letter["run"]) == ("producer.started", "web", "run-1")
    assert '"fool"' in testbus("dlq", "show", "runs", "--id", given_up).stdout
    assert given_up in testbus("dlq", "list", "runs", "--since", "1h", "--type", "producer.started").stdout
    assert "runs: 0 dead letters" in testbus("dlq", "list", "runs", "--older-than", "1h").stdout


def test_a_list_for_people_has_dates_columns_and_whole_errors(testbus: Testbus, given_up: str) -> None:
    """What was given up when, in columns, and the reason from its first word to its last."""
    (letter,) = [json.loads(line) for line in testbus("dlq", "list", "runs", "--json").stdout.splitlines()]
    line, *rest = testbus("dlq", "list", "runs").stdout.splitlines()
    assert rest == ["runs: 1 dead letter"]
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    columns = rf"  {when}  {given_up}  producer\.started\.web +(?P<error>\S.*)"
    match = re.fullmatch(columns, line)
    assert match, line
    assert match["error"] == letter["error"].splitlines()[0]


def test_a_redriven_letter_is_handled_again_under_its_id(testbus: Testbus, given_up: str) -> None:
    """Still unreadable, it comes back; a dry run only counts."""
    assert "1 would be redriven" in testbus("dlq", "redrive", "runs", "--dry-run").stdout
    assert "1 redriven" in testbus("dlq", "redrive", "runs", "--error", "data.tool").stdout
    assert testbus("dlq", "list", "runs", "--json").stdout == ""
    testbus("drain")
    (letter,) = [json.loads(line) for line in testbus("dlq", "list", "runs", "--json").stdout.splitlines()]
    assert letter["error"].startswith("producer.started")
    assert given_up


def test_purging_throws_away_what_was_named(testbus: Testbus, given_up: str) -> None:
    """An unknown id is an error; the right one is gone."""
    wrong = testbus("dlq", "purge", "runs", "--id", "nobody", "--yes")
    assert wrong.returncode == 2
    assert "testbus dlq list runs" in wrong.stderr
    assert "1 would be purged" in testbus("dlq", "purge", "runs", "--dry-run").stdout
    assert testbus("dlq", "purge", "runs").returncode != 0
    purged = testbus("dlq", "purge", "runs", "--id", given_up, "--run", "run-1", "--project", "web", "--yes", "--json")
    assert json.loads(purged.stdout) == {"consumer": "runs", "purged": 1, "dry_run": False}
    assert testbus("dlq", "list", "runs", "--json").stdout == ""
