"""The consumer `jira` over PostgreSQL: worker processes that share their state file one issue per cause."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from testbus_sandbox import Sandbox
from tests.consumers.jira.failing import TOKEN_VARIABLE, waiting, worker_of
from tests.consumers.jira.working import END_S, begin, process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_sandbox import JiraServer

#: Failures of each run.
FAILURES = 200


@pytest.fixture
def jira(monkeypatch: pytest.MonkeyPatch) -> Iterator[JiraServer]:
    """Return a running Jira Cloud."""
    with Sandbox(reportportals=(), slack=False, jira=True, jira_projects=("SHOP",)) as sandbox:
        monkeypatch.setenv(TOKEN_VARIABLE, sandbox.jira.token)
        yield sandbox.jira


def test_processes_that_crash_and_lose_answers_file_five_issues(
    jira: JiraServer, database_url: str, tmp_path: Path
) -> None:
    """Two at once, three times, after one was killed between Jira's doing and our knowing: 200 failures, 5 issues."""
    given = {"folder": tmp_path, "state_url": database_url, "failures": FAILURES}
    jira.faults.latency(60_000, path="/issue$", method="POST", times=1, act_first=True)
    with process(jira, runs=["killed"], **given) as victim:
        begin(victim)
        wait_until(lambda: jira.issues, 30, "the first issue is created")
        victim.send_signal(signal.SIGKILL)
        victim.wait(END_S)
    for repetition in range(3):
        jira.faults.status(500, path="/issue$", method="POST", times=1, act_first=True)
        with (
            process(jira, runs=[f"a-{repetition}"], **given) as one,
            process(jira, runs=[f"b-{repetition}"], **given) as other,
        ):
            begin(one)
            begin(other)
            assert (one.wait(END_S), other.wait(END_S)) == (0, 0)
        assert len(jira.issues) == 5
    with worker_of(jira, tmp_path, database_url) as worker:
        assert waiting(worker) == []
    assert all("Seen in 7 runs:" in issue.text for issue in jira.issues)
