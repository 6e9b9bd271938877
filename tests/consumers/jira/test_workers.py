"""Many failures, few causes, several workers: one issue for each cause."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.consumers.jira.failing import context, finish, linked, many, waiting, whole
from tests.consumers.jira.working import END_S, begin, process
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import JiraServer

#: Failures of each run.
FAILURES = 200


def both(workers: list[ConsumerHarness], run: str) -> None:
    """Let each worker deal with a run of its own at the same time."""

    def work(number: int, worker: ConsumerHarness) -> None:
        worker.deliver(*whole(many(FAILURES), context(f"{run}-{number}")))
        finish(worker)

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(workers)]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads), 90, "both workers are done")


@pytest.mark.parametrize("bad_day", ["none", "500 after creating", "search lags 60 s"])
def test_two_workers_three_times_file_five_issues(
    make_worker: Callable[..., ConsumerHarness], jira: JiraServer, bad_day: str
) -> None:
    """200 failures of 5 causes from each of two workers at once, three times over: 5 issues."""
    workers = [make_worker(), make_worker()]
    jira.use_clock(lambda: min(worker.now for worker in workers).timestamp())
    if bad_day == "search lags 60 s":
        jira.lag(60)
    for repetition in range(3):
        if bad_day != "none":
            jira.faults.status(500, path="/issue$", method="POST", times=3, act_first=True)
        both(workers, f"run-{repetition}")
        assert len(jira.issues) == 5
    assert all("Met in 6 runs:" in issue.text for issue in jira.issues)
    told = {event.id: event.data for worker in workers for event in worker.emitted}
    assert len(told) == len({(one.context.run, one.key) for one in told.values()}) == 30


@pytest.mark.parametrize("flavour", ["cloud"])
def test_two_processes_three_times_file_five_issues(jira: JiraServer, tmp_path: Path) -> None:
    """The same with processes of their own over one SQLite file."""
    for repetition in range(3):
        given = {"folder": tmp_path, "failures": FAILURES}
        with (
            process(jira, runs=[f"a-{repetition}"], **given) as one,
            process(jira, runs=[f"b-{repetition}"], **given) as other,
        ):
            begin(one)
            begin(other)
            assert (one.wait(END_S), other.wait(END_S)) == (0, 0)
        assert len(jira.issues) == 5
    assert all("Met in 6 runs:" in issue.text for issue in jira.issues)


@pytest.mark.parametrize("lag_s", [0, 60])
@pytest.mark.parametrize("flavour", ["cloud"])
def test_a_worker_killed_after_creating_leaves_one_issue(
    make_worker: Callable[..., ConsumerHarness], jira: JiraServer, tmp_path: Path, lag_s: float
) -> None:
    """SIGKILL between Jira's doing and our knowing: the next worker finds it, once the search can."""
    jira.lag(lag_s)
    jira.faults.latency(60_000, path="/issue$", method="POST", times=1, act_first=True)
    with process(jira, folder=tmp_path / "state", runs=["run-1"], failures=FAILURES) as victim:
        begin(victim)
        wait_until(lambda: jira.issues, 30, "the first issue is created")
        victim.send_signal(signal.SIGKILL)
        victim.wait(END_S)
    worker = make_worker()
    jira.use_clock(lambda: worker.now.timestamp())  # noqa: PLW0108 as in conftest
    assert waiting(worker) == ["run-1"]
    finish(worker)
    assert len(jira.issues) == 5
    assert [one.action for one in linked(worker)] == ["created"] * 5
