"""A worker of its own: `python -m tests.consumers.jira.working`, with JSON on the command line.

`{"jira": …, "folder": …, "state_url": …, "runs": […], "failures": 200}`: delivers the runs, and works as a worker does,
in real time and with its sweeper, until all runs of that state are filed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.support import wait_until
from testbus_consumers.runtime.background import Sweeper
from tests.consumers.jira.failing import TOKEN_VARIABLE, context, many, waiting, where, whole, worker_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_sandbox import JiraServer

#: Where `tests` is found.
ROOT = Path(__file__).parents[3]

#: Seconds that a process may take to end.
END_S = 90

#: A settle time above every time-out, short enough to be waited for; nothing lags where it is used.
SHORT = {"timeout_s": 2, "settle_s": 5}


@contextmanager
def process(jira: JiraServer, **given: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Give a worker process, which begins when a line is written to it, and is gone afterwards."""
    command = [sys.executable, "-m", __name__, json.dumps({"jira": where(jira), **given}, default=str)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), TOKEN_VARIABLE: jira.token}
    worker = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"ready\n"
            yield worker
        finally:
            worker.kill()


def begin(worker: subprocess.Popen[bytes]) -> None:
    """Let a worker process begin."""
    assert worker.stdin is not None
    worker.stdin.write(b"\n")
    worker.stdin.close()


def main() -> None:
    """Be such a worker."""
    given = json.loads(sys.argv[1])
    with worker_of(given["jira"], Path(given["folder"]), given.get("state_url"), **SHORT) as worker:
        worker.policy = replace(worker.policy, clock=time.time, delay_steps=(1, 2, 3, 5))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for run in given["runs"]:
            worker.deliver(*whole(many(given["failures"]), context(run)))
        sweeper = Sweeper(worker.policy, worker)
        sweeper.start()
        wait_until(lambda: not waiting(worker), END_S, "every run is filed")
        sweeper.stop(5)


if __name__ == "__main__":
    main()
