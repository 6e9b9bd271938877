"""A folder and a command line of their own for every test of the command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests import command
from tests.support import LEAN

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
