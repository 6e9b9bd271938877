"""Many failures, few causes, several workers: one issue for each cause."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from tests.consumers.jira.failing import context, finish, linked, many, waiting, whole
from tests.consumers.jira.working import END_S, begin, process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import JiraServer

pytestmark = pytest.mark.slow

#: Failures of each run.
FAILURES = 200


class Clock:
    """One time for Jira and all workers: it stands still while any of them is at work."""

    def __init__(self) -> None:
        """Begin now."""
        self.now = time.time()

    def __call__(self) -> float:
        """Return seconds since 1970."""
        return self.now


def both(workers: list[ConsumerHarness], clock: Clock, run: str) -> None:
    """Let each worker deal with a run of its own at the same time, then with what has to wait, until all is done."""

    def begin_work(pair: tuple[int, ConsumerHarness]) -> None:
        number, worker = pair
        worker.deliver(*whole(many(FAILURES), context(f"{run}-{number}")))

    with ThreadPoolExecutor(len(workers)) as at_once:
        list(at_once.map(begin_work, enumerate(workers)))
        while waiting(workers[0]):
            clock.now += 5
            list(at_once.map(lambda worker: worker.run_timers(), workers))


@pytest.mark.parametrize("bad_day", ["none", "500 after creating", "search lags 60 s"])
def test_two_workers_three_times_file_five_issues(
    make_worker: Callable[..., ConsumerHarness], jira: JiraServer, bad_day: str
) -> None:
    """200 failures of 5 causes from each of two workers at once, three times over: 5 issues."""
    clock = Clock()
    jira.use_clock(clock)
    workers = [make_worker(), make_worker()]
    for worker in workers:
        worker.policy = replace(worker.policy, clock=clock)
    if bad_day == "search lags 60 s":
        jira.lag(60)
    for repetition in range(3):
        if bad_day != "none":
            jira.faults.status(500, path="/issue$", method="POST", times=3, act_first=True)
        both(workers, clock, f"run-{repetition}")
        assert len(jira.issues) == 5
    assert all("Seen in 6 runs:" in issue.text for issue in jira.issues)
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
    assert all("Seen in 6 runs:" in issue.text for issue in jira.issues)


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
