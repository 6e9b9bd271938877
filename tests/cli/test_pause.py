"""`testbus pause` and `testbus resume`, embedded: a stopped queue stays stopped, says why, and goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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
def publish(tmp_path: Path) -> Callable[[str], None]:
    """Give what publishes a whole run into the home of the test."""
    home = tmp_path / ".testbus"
    home.mkdir()

    def whole(run: str) -> None:
        events = FakeProducer(f"p-{run}", run=run).whole(test_a="passed")
        messages = [message_of(e) for e in events]
        EventLog(home).append(messages)

    return whole


def queue(testbus: Testbus, name: str) -> dict[str, Any]:
    """Return what `testbus status` tells of a queue."""
    told = json.loads(testbus("status", "--json").stdout)["queues"]
    found: dict[str, Any] = next(one for one in told if one["consumer"] == name)
    return found


def test_a_paused_queue_waits_until_it_is_resumed(testbus: Testbus, publish: Callable[[str], None]) -> None:
    """Nothing of it is consumed by whichever process drains; the others go on; and nothing counts as a try."""
    publish("one")
    testbus("drain")
    stopped = testbus("pause", "gates", "--reason", "rules are edited")
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stdout.endswith(": rules are edited\n")
    assert "nobody gets a verdict" in stopped.stderr
    publish("two")
    drained = testbus("drain")
    assert drained.returncode == 1
    assert "paused: `testbus resume gates`" in drained.stdout
    waiting = queue(testbus, "gates")
    assert (waiting["depth"] > 0, waiting["retrying"], waiting["paused"]["reason"]) == (True, 0, "rules are edited")
    assert queue(testbus, "runs")["depth"] == 0
    assert "gates: paused since" in testbus("status").stdout
    assert testbus("resume", "gates").stdout == "gates: resumed\n"
    assert testbus("drain").returncode == 0
    assert queue(testbus, "gates")["paused"] is None
    listed = json.loads(testbus("runs", "--json").stdout)["runs"]
    assert {one["run"]: one["verdict"] for one in listed} == {"one": "passed", "two": "passed"}


def test_a_pause_for_a_while_says_until_when_and_is_over_by_itself(
    testbus: Testbus, publish: Callable[[str], None]
) -> None:
    """`--for` needs nobody to come back; `--all` means every queue."""
    publish("one")
    assert testbus("drain").returncode == 0
    told = json.loads(testbus("pause", "--all", "--for", "2h", "--json").stdout)["queues"]
    assert [one["consumer"] for one in told] == ["runs", "gates", "requests"]
    assert all(one["paused"]["until"] > one["paused"]["since"] for one in told)
    testbus("pause", "--all", "--for", "0s")
    assert queue(testbus, "runs")["paused"] is None
    resumed = testbus("resume", "--all").stdout.splitlines()
    assert resumed == ["runs: was not paused", "gates: was not paused", "requests: was not paused"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "which consumers? Name some, or give --all; configured: runs, gates, requests"),
        (("gates", "--all"), "which consumers?"),
        (("nobody",), "'nobody' is not configured"),
        (("gates", "--for", "soon"), "write 45s, 90m, 12h or 7d"),
    ],
)
def test_what_is_not_clear_is_refused(testbus: Testbus, arguments: tuple[str, ...], said: str) -> None:
    """With what to write instead."""
    done = testbus("pause", *arguments, TESTBUS_URL="file:///nowhere")
    assert done.returncode == 2
    assert said in done.stderr
