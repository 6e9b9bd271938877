"""The systemd unit: what it starts exists, and it ends workers as they are to be ended."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from testbus.commands.worker import _SHUTDOWN_S, worker

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "testbus-worker@.service"


def unit() -> configparser.ConfigParser:
    """Return the unit."""
    parsed = configparser.ConfigParser(interpolation=None, strict=True)
    parsed.optionxform = str  # type: ignore[assignment,method-assign] # keys are told apart by their case
    parsed.read_string(UNIT.read_text(encoding="utf-8"))
    return parsed


def test_the_command_is_one_that_there_is() -> None:
    """`testbus worker` with a consumer for its instance."""
    program, command, *arguments = shlex.split(unit()["Service"]["ExecStart"])
    assert (Path(program).name, command, arguments) == ("testbus", "worker", ["%I"])
    context = worker.make_context("worker", ["gates"], resilient_parsing=True)
    assert isinstance(context, click.Context)
    assert context.params["consumers"] == ("gates",)


def test_a_worker_has_the_time_that_it_takes_to_end() -> None:
    """Systemd kills later than `testbus worker` does, and first only asks."""
    service = unit()["Service"]
    assert float(service["TimeoutStopSec"]) > _SHUTDOWN_S
    assert (service["KillMode"], service["KillSignal"], service["Restart"]) == ("mixed", "SIGTERM", "always")


def test_no_secret_stands_in_the_unit() -> None:
    """Units can be read by everybody on a machine."""
    assert "Environment" not in unit()["Service"]
    assert "EnvironmentFile" in unit()["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_takes_it(tmp_path: Path) -> None:
    """Every key is known to it."""
    program = tmp_path / "testbus"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    copy = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8").replace("/opt/testbus/bin/testbus", str(program))
    copy.write_text(text, encoding="utf-8")
    instance = str(copy).replace("@.", "@gates.")
    done = subprocess.run(["systemd-analyze", "verify", instance], capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if "testbus-worker" in line]
    assert told == []
