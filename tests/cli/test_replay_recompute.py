"""`testbus replay --recompute` on an embedded home: the same rows from the same events, others by other rules."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from testbus_sandbox import Sandbox
from tests.cli.replays import Home, rows

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Consumers that keep results of their own.
CONSUMERS = ("runs", "gates", "regressions")

#: Runs of a home, and what fails in them: something breaks, and is repaired.
RUNS = {"r1": (), "r2": ("test_b",), "r3": ("test_b",), "r4": ()}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Home]:
    """Give a home whose runs are over."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("TESTBUS_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    with Sandbox(reportportals=(), channels=("ci",)) as sandbox:
        one = Home(folder=tmp_path, sandbox=sandbox, printed=capsys)
        one.configure(components={"shop": {"paths": ["shop/*"]}}, regressions={}, slack=one.slack())
        for run, failing in RUNS.items():
            one.publish(run, failing=failing)
        one.drain()
        yield one


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_the_same_rows_come_out(home: Home, consumer: str) -> None:
    """Every row but its times, nothing new is derived, nobody is told, and twice is as once."""
    before, known, said = rows(home.path, consumer), set(home.derived()), len(home.sandbox.slack.messages)
    others = {name: rows(home.path, name) for name in CONSUMERS if name != consumer}
    assert said
    assert any(before.values())
    for _ in range(2):
        told = home.replayed(consumer, "--recompute")
        assert (told["runs"], told["mode"]) == (len(RUNS), "recompute")
        # `runs` keeps its events: nothing has to be sent.
        assert told["sent"] == told["wanted"]
        assert bool(told["kept"]) is (consumer == "runs")
        home.drain()
        assert rows(home.path, consumer) == before
    assert set(home.derived()) == known
    assert {name: rows(home.path, name) for name in others} == others
    assert len(home.sandbox.slack.messages) == said


def test_other_rules_make_another_verdict(home: Home) -> None:
    """Of the runs that are selected, and of no other; people are not told of it."""
    assert (home.verdict("r2"), home.verdict("r3")) == ("failed", "failed")
    said = len(home.sandbox.slack.messages)
    home.configure(gates={"rules": [{"rule": "pass_rate", "minimum": 50}]}, slack=home.slack())
    told = home.replayed("gates", "--recompute", "--run", "r2", "--dry-run")
    assert (told["runs"], told["sent"]) == (1, 0)
    assert home.replayed("gates", "--recompute", "--run", "r2")["runs"] == 1
    home.drain()
    assert (home.verdict("r2"), home.verdict("r3")) == ("passed", "failed")
    told_of = [row["status"] for row in home.ledger("r2", "slack") if row["type"] == "gate.evaluated"]
    assert told_of == ["done", "silent"]
    assert len(home.sandbox.slack.messages) == said


def test_an_event_that_is_selected_selects_all_of_its_run(home: Home) -> None:
    """A run is recomputed whole, whatever of it was asked for."""
    told = home.replayed("runs", "--recompute", "--run", "r2", "--type", "coverage.recorded", "--dry-run")
    assert (told["runs"], told["kept"]) == (1, 5)
    code, out, _ = home.run("replay", "runs", "--recompute", "--run", "r2", "--dry-run")
    assert (code, out) == (0, "1 run of runs would be recomputed, from 5 kept events\n")


@pytest.mark.parametrize("consumer", ["gates", "regressions"])
def test_a_kill_in_the_middle_leaves_what_a_second_call_completes(home: Home, consumer: str) -> None:
    """Killed when runs were reset and not all was sent, drained, and repeated: the same rows."""
    before = rows(home.path, consumer)
    command = [sys.executable, "-m", "testbus", "replay", consumer, "--recompute", "--rate", "1/s"]
    process = subprocess.Popen(command, cwd=home.folder)
    wait_until(lambda: not rows(home.path, consumer)["testbus_delivery"], 60, "all runs were reset")
    process.kill()
    process.wait()
    home.drain()
    assert rows(home.path, consumer) != before
    home.replayed(consumer, "--recompute")
    home.drain()
    assert rows(home.path, consumer) == before


def test_the_verdict_holds_until_there_is_another(home: Home) -> None:
    """Whoever asks in the middle is told what was decided, also by `runs`."""
    for consumer in ("gates", "runs"):
        home.replayed(consumer, "--recompute")
    assert home.verdict("r2") == "failed"
    assert {row["status"] for row in rows(home.path, "runs")["run"]} == {"completed"}
    home.drain()
    assert home.verdict("r2") == "failed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["slack", "--recompute"], "keeps no results"),
        (["gates", "--recompute", "--notify"], "calls nobody"),
        (["gates", "--recompute", "--resend"], "one after the other"),
        (["gates", "--resend"], "has no target"),
        (["slack", "--resend"], "without --notify sends no notifications"),
        (["gates", "--type", "producer.heartbeat"], "it receives run.completed"),
        (["gates", "--from-offset", "5"], "has no offsets"),
        (["gates", "--rate", "fast"], "is no rate"),
    ],
)
def test_what_makes_no_sense_is_refused(home: Home, arguments: list[str], said: str) -> None:
    """Each has its own message, which says what does."""
    code, _, err = home.run("replay", *arguments)
    assert code == 2
    assert said in err


def test_runs_of_which_a_part_is_gone_are_refused_or_left(home: Home) -> None:
    """Nothing is recomputed that could not be read again."""
    with sqlite3.connect(home.path / "state" / "runs.sqlite3") as runs:
        runs.execute("UPDATE event SET body = NULL WHERE run = 'r3' AND type = 'results.recorded'")
    before = rows(home.path, "runs")
    code, _, err = home.run("replay", "runs", "--recompute")
    assert code == 2
    assert "r3" in err
    assert "--allow-partial" in err
    assert rows(home.path, "runs") == before
    told = home.replayed("runs", "--recompute", "--allow-partial")
    assert (told["runs"], told["left"]) == (len(RUNS) - 1, 1)
    home.drain()
    assert rows(home.path, "runs") == before


def test_the_rate_is_kept(home: Home) -> None:
    """Sending takes at least as long as the rate says."""
    began = time.monotonic()
    sent = home.replayed("gates", "--recompute", "--rate", "2/s")["sent"]
    assert sent == len(RUNS)
    assert time.monotonic() - began >= (sent - 2) / 2
