"""`testbus run --report`: commands without a plugin, by the report files that they write."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

REPORT = """<testsuites><testsuite name="shop">
<testcase classname="cart" name="adds" time="0.1"/>
<testcase classname="cart" name="pays" time="0.2"/>
</testsuite></testsuites>"""

FAILED = REPORT.replace(
    'name="pays" time="0.2"/>', 'name="pays" time="0.2"><failure message="no money">at cart</failure></testcase>'
)


def writing(status: int, **files: str) -> tuple[str, ...]:
    """Return a command that writes report files as any tool would, and exits with a status."""
    code = "import json, pathlib, sys\n"
    code += f"for name, text in json.loads({json.dumps(json.dumps(files))}).items():\n"
    code += "    pathlib.Path(name + '.xml').write_text(text)\n"
    return (sys.executable, "-c", code + f"sys.exit({status})")


def test_reports_of_a_command_without_a_plugin_are_its_run(
    testbus: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """What the command wrote is published into the run before that is closed, and the verdict is about it."""
    done = testbus("run", "--report", "junit*.xml", "--", *writing(0, **{"junit-1": REPORT}), TESTBUS_RUN_ID="r1")
    assert done.returncode == 0, done.stderr
    assert "PASSED  2 tests passed" in done.stdout
    assert json.loads(testbus("verdict", "r1", "--json").stdout)["evaluation"]["verdict"] == "passed"


@pytest.mark.parametrize(("status", "expected"), [(0, 1), (1, 1), (7, 7)])
def test_the_worse_of_command_and_verdict_is_the_exit_status(
    testbus: Callable[..., subprocess.CompletedProcess[str]], status: int, expected: int
) -> None:
    """A tool that exits with 0 although a test failed is overruled."""
    command = writing(status, junit=FAILED)
    done = testbus("run", "--report", "junit.xml", "--", *command, TESTBUS_RUN_ID="r1")
    assert done.returncode == expected, done.stderr
    assert "FAILED  1 of 2 tests fails: no money" in done.stdout


def test_a_report_of_an_earlier_command_is_left_out(
    testbus: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A command that broke before it wrote anything gets no verdict on what lay there before."""
    (tmp_path / "junit.xml").write_text(REPORT, encoding="utf-8")
    os.utime(tmp_path / "junit.xml", (1_700_000_000, 1_700_000_000))
    done = testbus("run", "--report", "junit.xml", "--", sys.executable, "-c", "pass", TESTBUS_RUN_ID="r1")
    assert done.returncode == 2
    assert "junit.xml: older than the command, left out" in done.stderr
    assert "published nothing" in done.stderr


def test_a_report_that_was_not_written_or_is_broken_is_no_success(
    testbus: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Each is named; a broken one makes the run incomplete."""
    command = writing(0, **{"junit-1": REPORT})
    done = testbus("run", "--report", "junit-1.xml", "--report", "more.xml", "--", *command, TESTBUS_RUN_ID="r1")
    assert done.returncode == 1
    assert "more.xml: the command wrote no such file" in done.stderr
    assert "PASSED  2 tests passed" in done.stdout
    broken = writing(0, **{"junit-1": REPORT, "junit-2": REPORT[:90]})
    done = testbus("run", "--report", "junit*.xml", "--", *broken, TESTBUS_RUN_ID="r2")
    assert done.returncode == 3
    assert "junit-2.xml" in done.stderr
    assert "INCOMPLETE  " in done.stdout
