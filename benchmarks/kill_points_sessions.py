"""Whole pytest sessions that are killed, as `benchmarks.kill_points` does with processes of its own."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from benchmarks.kill_points_places import Place

#: Tests of a session.
TESTS: Final = 40

#: Bound in seconds of a session's life.
LIFE_S: Final = 60.0

#: Says, after every other plugin had the last report of a test, which one it was.
CONFTEST: Final = """
import os, pytest
SAID = int(os.environ["KILL_POINTS_SAID"])
@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if report.when == "teardown":
        os.write(SAID, report.nodeid.rpartition("_")[2].encode() + b"\\n")
"""


def kill_session(work: Path, number: int, place: Place, rng: random.Random) -> list[int]:
    """Run a session and kill it at a random point; return the indexes of the tests whose results were recorded."""
    project = work / f"session-{number}"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "conftest.py").write_text(CONFTEST)
    tests = "".join(f"def test_{index}(): time.sleep({rng.expovariate(100):.4f})\n" for index in range(TESTS))
    (project / f"test_{number}.py").write_text(f"import time\n{tests}")
    heard, said = os.pipe()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TESTBUS_", "PYTEST_"))}
    told = {"TESTBUS_URL": place.url, "TESTBUS_SPOOL": str(place.spool), "TESTBUS_PROJECT": "kills"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env=kept | told | {"TESTBUS_RUN_ID": f"kill-{number}", "KILL_POINTS_SAID": str(said)},
        pass_fds=[said],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(said)
    lines = _until(heard, rng.randrange(TESTS + 1))
    time.sleep(rng.uniform(0, 0.3))
    process.kill()
    process.wait()
    while more := os.read(heard, 1 << 16):
        lines += more
    os.close(heard)
    return [int(line) for line in lines.split()]


def _until(heard: int, count: int) -> bytes:
    """Return what was said when so many tests have ended, or the session has."""
    lines = b""
    deadline = time.monotonic() + LIFE_S
    while lines.count(b"\n") < count and select.select([heard], [], [], max(0.0, deadline - time.monotonic()))[0]:
        more = os.read(heard, 1 << 16)
        if not more:
            break
        lines += more
    return lines
