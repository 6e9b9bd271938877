"""Where is my result? `testbus trace` over an embedded pipeline."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness.events import FakeProducer
from testbus_broker.event_log import EventLog
from testbus_broker.message import message_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Testbus = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ids(testbus: Testbus, tmp_path: Path) -> list[str]:
    """Give the ids of a run's events: the first two were handled, then `gates` was paused, and the others came."""
    home = tmp_path / ".testbus"
    home.mkdir()
    events = FakeProducer("p1").whole(test_a="passed", test_b="failed")
    messages = [message_of(e) for e in events]
    EventLog(home).append(messages[:2])
    assert testbus("drain").returncode == 0
    assert testbus("pause", "gates", "--reason", "because").returncode == 0
    EventLog(home).append(messages[2:])
    assert testbus("drain").returncode == 1
    return [event.id for event in events]


def test_each_consumer_says_where_each_event_is(testbus: Testbus, ids: list[str]) -> None:
    """What was published and not received waits, and why; what was handled is done; everything as JSON too."""
    told = json.loads(testbus("trace", "run-1", "--json").stdout)
    assert {one["event_id"] for one in told["published"]} > set(ids)
    found = {
        name: {row["event_id"]: row["status"] for row in rows if row["event_id"] in ids}
        for name, rows in told["consumers"].items()
    }
    assert found["runs"] == dict.fromkeys(ids, "done")
    # Results are the business of `runs`; the gates are told what it decided.
    assert [(one["type"], one["status"]) for one in told["consumers"]["gates"]] == [("run.completed", "waiting")]
    assert told["paused"]["gates"]["reason"] == "because"
    for_people = testbus("trace", "run-1", "--consumer", "gates").stdout
    assert "run.completed        1 waiting\n" in for_people
    assert "paused since" in for_people
    assert "runs" not in for_people


def test_one_test_or_one_event_is_traced(testbus: Testbus, ids: list[str]) -> None:
    """By node id, with its outcome; or by the beginning of an event's id. What is not there is an error that helps."""
    assert "1 event published, which report test_b: failed\n" in testbus("trace", "run-1", "--test", "test_b").stdout
    single = testbus("trace", "run-1", "--event", ids[0], "--verbose", "--ledger-only").stdout
    assert single.count(ids[0][:13]) == 1
    assert ids[1][:13] not in single
    for arguments, said in (
        (("run-1", "--test", "test_z"), "reports test_z"),
        (("run-1", "--event", "zzz"), "no event zzz"),
        (("run-9",), "nothing is known of run run-9"),
    ):
        done = testbus("trace", *arguments)
        assert done.returncode == 2
        assert said in done.stderr
