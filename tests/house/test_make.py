"""What the Makefile promises."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.support import LEAN

ROOT = Path(__file__).parents[2]

FLAKY = """
from pathlib import Path

def test_the_second_time_is_lucky():
    lucky = Path(__file__).with_name("lucky")
    if not lucky.exists():
        lucky.touch()
        raise AssertionError("not the first time")
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("make"), reason="no make in PATH")
def test_a_flaky_test_is_named_with_its_first_traceback_at_the_end(tmp_path: Path) -> None:
    """`make test` passes when a second try does, and its last lines say what failed in the first."""
    asked = subprocess.check_output(["make", "-n", "test"], cwd=ROOT, text=True)
    (command,) = [shlex.split(line) for line in asked.splitlines() if "/pytest " in line]
    (tmp_path / "test_flaky.py").write_text(FLAKY, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = nightly\n", encoding="utf-8")
    outer = ("PYTEST_", "MAKE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command[1:]],
        cwd=tmp_path,
        env=environment | {"PYTEST_ADDOPTS": LEAN},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    _, _, end = done.stdout.partition("rerun test summary info")
    assert "RERUN test_flaky.py::test_the_second_time_is_lucky" in end
    assert "AssertionError: not the first time" in end
    assert "1 passed, 1 rerun" in end
