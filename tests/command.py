"""The `testbus` command for tests: a process of its own each time, forked from one that has imported everything.

A Python that starts and imports what a command needs takes a second of a processor, and the tests run hundreds of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final

from testbus.main import COMMANDS, main

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Seconds after which a command is ended.
TIMEOUT_S: Final = 120.0

#: What is imported once: every command, and every consumer of ours.
_PRELOADED: Final = [
    *{where.partition(":")[0] for where in COMMANDS.values()},
    *(
        f"testbus_consumers.{name}.consumer"
        for name in ("runs", "gates", "regressions", "reportportal", "jira", "slack")
    ),
    "alembic.command",
]

_CONTEXT: Final = get_context("forkserver")
_CONTEXT.set_forkserver_preload(_PRELOADED)


def testbus(
    arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run `testbus` with arguments, in an environment and a folder, to its end; subprocess.TimeoutExpired."""
    command = ["testbus", *arguments]
    with tempfile.TemporaryDirectory() as kept:
        out, err = Path(kept, "stdout"), Path(kept, "stderr")
        process = _CONTEXT.Process(target=_child, args=(command, dict(environment), folder, out, err))
        process.start()
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, TIMEOUT_S)
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, err)]
        return subprocess.CompletedProcess(command, process.exitcode, *texts)


def _child(command: list[str], environment: dict[str, str], folder: Path, out: Path, err: Path) -> None:
    """Be `python -m testbus`, as far as a command can tell."""
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    sys.argv = command
    sys.path[:0] = [str(folder), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    main()
