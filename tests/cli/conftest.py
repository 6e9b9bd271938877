"""A folder and a command line of their own for every test of the command."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def testbus(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `testbus` as a user does: a process, in a folder of its own, with no CI and no outer session around it."""

    def call(*arguments: str, **environment: Any) -> subprocess.CompletedProcess[str]:
        outer = ("TESTBUS_", "PYTEST_", "GITHUB_", "GITLAB_", "CI_", "JENKINS_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(outer) and name != "CI"}
        return subprocess.run(
            [sys.executable, "-m", "testbus", *arguments],
            cwd=tmp_path,
            env=inherited | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return call
