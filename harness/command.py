"""The `testbus` and `celery` commands for tests: processes of their own, forked from one that has imported everything.

A Python that starts and imports what a command needs takes one to two seconds of a processor, and the tests run
hundreds of them. Tests of the start itself (`testbus worker`, the demo) start a new Python.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final

from testbus.main import COMMANDS, main
from testbus_consumers import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.context import ForkServerProcess

#: Seconds after which a command is ended.
TIMEOUT_S: Final = 120.0

#: What is imported once: every command, every consumer of ours, and what Celery imports for a worker.
_PRELOADED: Final = [
    *{where.partition(":")[0] for where in COMMANDS.values()},
    *{where.partition(":")[0] for where in registry.BUILT_IN.values()},
    *("alembic.command", "celery.bin.celery", "celery.apps.worker", "celery.concurrency.prefork"),
    *("celery.concurrency.thread", "kombu.transport.pyamqp", "testbus_consumers.worker.celery_app"),
]

_CONTEXT: Final = get_context("forkserver")
_CONTEXT.set_forkserver_preload(_PRELOADED)


@dataclass(frozen=True)
class Forked:
    """A process that goes on, with the methods of `subprocess.Popen` that tests need."""

    _process: ForkServerProcess

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return its exit status, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit status; subprocess.TimeoutExpired after so many seconds."""
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


def testbus(
    arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run `testbus` with arguments, in an environment and a folder, to its end; subprocess.TimeoutExpired."""
    command = ["testbus", *arguments]
    with tempfile.TemporaryDirectory() as kept:
        out, err = Path(kept, "stdout"), Path(kept, "stderr")
        process = _Call(main, command, dict(environment), folder, out, err).start()
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, TIMEOUT_S)
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, err)]
        return subprocess.CompletedProcess(command, process.exitcode, *texts)


def celery_worker(arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> Forked:
    """Start `celery -A testbus_consumers.app worker` with arguments, in an environment and a folder; `log` grows."""
    command = ["celery", "-A", "testbus_consumers.app", "worker", *arguments]
    log.touch()
    return Forked(_Call(_celery, command, dict(environment), folder, log, log).start())


def _celery() -> None:
    from celery.__main__ import main as celery  # noqa: PLC0415 not in the tests' own process

    celery()


@dataclass(frozen=True)
class _Call:
    """What is to run, and where."""

    entry: Callable[[], None]
    command: list[str]
    environment: Mapping[str, str]
    folder: Path
    #: Where standard output and standard error go.
    out: Path
    err: Path

    def start(self) -> ForkServerProcess:
        """Start it."""
        process = _CONTEXT.Process(target=self._run, daemon=True)
        process.start()
        return process

    def _run(self) -> None:
        """Be a Python that was started for the command, as far as it can tell."""
        for number, path in ((1, self.out), (2, self.err)):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, number)
            os.close(file)
        os.environ.clear()
        os.environ.update(self.environment)
        time.tzset()
        os.chdir(self.folder)
        sys.argv = self.command
        folders = self.environment.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:0] = [str(self.folder), *filter(None, folders)]
        self.entry()
