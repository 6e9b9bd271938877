"""A folder and a command line of their own for every test of the command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from harness import command
from harness.support import LEAN
from testbus.main import run_command

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def testbus(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `testbus` as a user does: a process, in a folder of its own, with no CI and no outer session around it."""

    def call(*arguments: str, **environment: Any) -> subprocess.CompletedProcess[str]:
        outer = ("TESTBUS_", "PYTEST_", "GITHUB_", "GITLAB_", "CI_", "JENKINS_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(outer) and name != "CI"}
        return command.testbus(
            arguments, environment=inherited | environment | {"PYTEST_ADDOPTS": LEAN}, folder=tmp_path
        )

    return call


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; give its status, and what it printed."""

    def called(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run_command(list(arguments))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return called
