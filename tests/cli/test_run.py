"""`testbus run` and what can be asked afterwards."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

#: Runs pytest as the user's own would.
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")

MIXED = """
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="later")
def test_skipped(): pass
"""


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Give a project with a passing, a failing and a skipped test."""
    (tmp_path / "test_mixed.py").write_text(MIXED, encoding="utf-8")
    return tmp_path


def test_run_prints_the_verdict_and_exits_as_the_tests(
    testbus: Callable[..., subprocess.CompletedProcess[str]], mixed: Path
) -> None:
    """One command, nothing set up: the tests' own output, then the verdict with rule, value and threshold."""
    done = testbus("run", "--", *PYTEST, TESTBUS_RUN_ID="r1")
    assert done.returncode == 1, done.stderr
    assert "1 failed, 1 passed, 1 skipped" in done.stdout
    assert "FAILED  1 of 2 tests fails (1 skipped): AssertionError: assert 1 == 2" in done.stdout
    assert "pass_rate 50 %" in done.stdout
    assert "test_mixed.py::test_bad" in done.stdout
    assert done.stdout.endswith("`testbus show` says more, `testbus report` writes it as a page\n")
    verdict = testbus("verdict", "r1", "--json")
    assert verdict.returncode == 1
    assert json.loads(verdict.stdout)["evaluation"]["verdict"] == "failed"
    trace = json.loads(testbus("trace", "r1", "--json").stdout)["consumers"]
    assert {row["status"] for rows in trace.values() for row in rows} == {"done"}
    assert set(trace) == {"runs", "gates"}
    assert mixed.joinpath(".testbus").stat().st_mode & 0o077 == 0


def test_events_are_cloudevents_one_a_line(
    testbus: Callable[..., subprocess.CompletedProcess[str]], mixed: Path
) -> None:
    """`testbus events --run RUN --json` gives exactly this run's events."""
    assert mixed
    testbus("run", "--", *PYTEST, TESTBUS_RUN_ID="r1")
    testbus("run", "--", *PYTEST, "-k", "good", TESTBUS_RUN_ID="r2")
    lines = [json.loads(line) for line in testbus("events", "--run", "r1", "--json").stdout.splitlines()]
    assert {line["subject"] for line in lines} == {"r1"}
    assert {line["specversion"] for line in lines} == {"1.0"}
    types = [line["type"].removeprefix("io.testbus.") for line in lines]
    # A slow machine may cut the results into more than one event.
    assert sorted(set(types)) == [
        "environment.recorded",
        "gate.evaluated",
        "metrics.recorded",
        "producer.finished",
        "producer.started",
        "results.recorded",
        "run.completed",
        "tests.collected",
    ]


def test_for_scripts_the_last_line_is_json(
    testbus: Callable[..., subprocess.CompletedProcess[str]], mixed: Path
) -> None:
    """After what the command itself prints: its status, what could not be read, what is left to do, and verdicts."""
    done = testbus("run", "--json", "--report", str(mixed / "none.xml"), "--", *PYTEST, TESTBUS_RUN_ID="r1")
    told = json.loads(done.stdout.splitlines()[-1])
    (fault,) = told.pop("faults")
    assert "none.xml" in fault
    (evaluation,) = told.pop("evaluations")
    assert (evaluation["context"]["run"], evaluation["verdict"]) == ("r1", "failed")
    assert told == {"run": "r1", "project": evaluation["context"]["project"], "status": 1, "left": []}
    assert done.returncode == 1


def test_a_crash_in_the_middle_is_incomplete_and_keeps_what_was_before(
    testbus: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """os._exit: every result before it is there, and the run is not passed."""
    crash = "import os, pytest\n@pytest.mark.parametrize('n', range(30))\ndef test(n):\n    if n == 20: os._exit(9)\n"
    (tmp_path / "test_crash.py").write_text(crash, encoding="utf-8")
    done = testbus("run", "--", *PYTEST, "--report-log=log.jsonl", TESTBUS_RUN_ID="r1")
    assert done.returncode == 9
    assert "INCOMPLETE" in done.stdout
    reported = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    ended = {row["nodeid"] for row in reported if row["$report_type"] == "TestReport" and row["when"] == "teardown"}
    events = testbus("events", "--run", "r1", "--type", "results.recorded", "--json").stdout.splitlines()
    ours = {result["node_id"] for line in events for result in json.loads(line)["data"]["results"]}
    assert ours == ended
    assert len(ours) == 20


def test_a_command_that_publishes_nothing_is_told_so(
    testbus: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """A verdict on nothing would be a lie."""
    done = testbus("run", "--", sys.executable, "-c", "print('no tests')")
    assert done.returncode == 2
    assert "published nothing" in done.stderr


@pytest.mark.parametrize("option", ["--collect-only", "--setup-only", "--setup-plan", "--cache-show", "--fixtures"])
def test_what_runs_no_test_is_no_run(
    testbus: Callable[..., subprocess.CompletedProcess[str]], mixed: Path, option: str
) -> None:
    """There is nothing to judge, and the exit status is pytest's."""
    assert mixed
    done = testbus("run", "--", *PYTEST[:3], option, TESTBUS_RUN_ID="r1")
    assert (done.returncode, done.stderr) == (0, "testbus: no test ran, so there is no verdict\n"), done.stdout


@pytest.mark.parametrize(
    ("broken", "status"),
    [("conftest.py", 4), ("pytest.ini", 4)],
)
def test_a_pytest_that_cannot_begin_keeps_its_exit_status(
    testbus: Callable[..., subprocess.CompletedProcess[str]], mixed: Path, broken: str, status: int
) -> None:
    """Status 4 is a usage error, and no fault of testbus."""
    (mixed / broken).write_text("import nothing_like_it\n")
    done = testbus("run", "--", *PYTEST)
    assert done.returncode == status, done.stdout
    assert f"ended with status {status} before it published anything" in done.stderr


def test_an_interrupt_of_its_own_kind_is_one(
    testbus: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Whatever its message does: pytest's exit status, and a verdict that says what did not run."""
    (tmp_path / "test_a.py").write_text(
        "class Stop(KeyboardInterrupt):\n    def __str__(self): raise ValueError('no text')\n"
        "def test_a(): pass\ndef test_b(): raise Stop\ndef test_c(): assert 0\n"
    )
    done = testbus("run", "--", *PYTEST, TESTBUS_RUN_ID="r1")
    assert done.returncode == 2, done.stdout
    assert "CANCELLED  so far none of 1 test fails (2 not run)" in done.stdout
    assert "internal error" not in done.stdout


def test_results_of_another_run_are_judged_as_that_run(
    testbus: Callable[..., subprocess.CompletedProcess[str]], mixed: Path
) -> None:
    """The command may name its run itself; of one that waits for another shard it is said that it is not decided."""
    assert mixed
    done = testbus("run", "--", *PYTEST, "-k", "good", "--testbus-run=mine", TESTBUS_RUN_ID="r1")
    assert (done.returncode, "· mine" in done.stdout) == (0, True), done.stderr
    assert "PASSED  1 test passed" in done.stdout
    done = testbus("run", "--", *PYTEST, "-k", "good", "--testbus-shard=1/2", TESTBUS_RUN_ID="r2")
    assert done.returncode == 3
    assert "no verdict yet on r2" in done.stderr


def test_a_second_run_in_one_folder_says_who_is_in_the_way(
    testbus: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """One process drains a folder at a time."""
    nested = (
        f"import subprocess, sys; sys.exit(subprocess.call([{sys.executable!r}, '-m', 'testbus', 'run', '--', 'true']))"
    )
    done = testbus("run", "--", sys.executable, "-c", nested)
    assert "another process drains" in done.stderr
    assert str(tmp_path) in done.stderr
