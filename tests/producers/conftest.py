"""Real pytest sessions in processes of their own, and what they published."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.junitxml import mangle_test_address

from harness.support import LEAN
from testbus_broker.event_log import EventLog
from testbus_schemas import Event, EventData, Result, ResultsRecorded, decode

if TYPE_CHECKING:
    from pathlib import Path

    from testbus_broker.message import Message

#: Bound in seconds of one session of the tests.
TIMEOUT_S = 120

#: What JUnit XML calls each outcome.
JUNIT = {
    "passed": "passed",
    "xpassed": "passed",
    "failed": "failed",
    "timeout": "failed",
    "error": "error",
    "skipped": "skipped",
    "xfailed": "skipped",
}


@dataclass(kw_only=True)
class Project:
    """A folder with tests of its own, a spool, and the home of an embedded pipeline."""

    root: Path
    home: Path
    spool: Path
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, **modules: str) -> None:
        """Write modules by name."""
        for name, text in modules.items():
            (self.root / f"{name}.py").write_text(dedent(text))

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start a session of the project; JUnit XML is written beside."""
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "no:cacheprovider",
                f"--junitxml={self.root / 'junit.xml'}",
                *arguments,
            ],
            cwd=self.root,
            env=self.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def run(self, *arguments: str, **environ: str) -> Ran:
        """Run a session of the project to its end."""
        process = self.start(*arguments, **environ)
        output, _ = process.communicate(timeout=TIMEOUT_S)
        return Ran(status=process.returncode, output=output)

    def messages(self) -> list[Message]:
        """Return everything that was published, as it was."""
        return [message for message, _ in EventLog(self.home).read({})]

    def events(self) -> list[Event[EventData]]:
        """Return everything that was published, read by the schemas."""
        return [decode(message.body, message.content_encoding) for message in self.messages()]

    def data(self, kind: type[Any]) -> list[Any]:
        """Return the data of all events of a kind."""
        return [event.data for event in self.events() if isinstance(event.data, kind)]

    def results(self) -> list[Result]:
        """Return all results."""
        return [result for data in self.data(ResultsRecorded) for result in data.results]

    def outcomes(self) -> dict[str, str]:
        """Return the outcome of each test, that of its last attempt."""
        return {result.node_id: str(result.outcome) for result in self.results()}

    def as_junit(self) -> dict[tuple[str, str], str]:
        """Return the outcomes in the words of JUnit XML."""
        found = {}
        for node_id, outcome in self.outcomes().items():
            *classes, name = mangle_test_address(node_id)
            found[".".join(classes), name] = JUNIT[outcome]
        return found

    def junit(self) -> dict[tuple[str, str], str]:
        """Return what pytest's JUnit XML says; its two entries for a double failure are one test."""
        tags: dict[tuple[str, str], set[str]] = {}
        for case in ET.parse(self.root / "junit.xml").iter("testcase"):
            if "name" in case.attrib:
                found = tags.setdefault((case.attrib["classname"], case.attrib["name"]), set())
                found.update(child.tag for child in case)
        words = (("failure", "failed"), ("error", "error"), ("skipped", "skipped"))
        return {test: next((word for tag, word in words if tag in found), "passed") for test, found in tags.items()}

    def spools(self) -> list[str]:
        """Return the names of the producers that still have a spool."""
        return sorted(path.name for path in self.spool.iterdir()) if self.spool.exists() else []


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a session ended."""

    #: Its exit status.
    status: int
    #: What it wrote.
    output: str

    @property
    def line(self) -> str:
        """Return the line that testbus wrote; empty without one."""
        return next((line for line in self.output.splitlines() if line.startswith("testbus: ")), "")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an empty project that publishes to an embedded home."""
    return new_project(tmp_path)


def new_project(tmp_path: Path) -> Project:
    """Make an empty project in a folder."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pytest.ini").write_text("[pytest]\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TESTBUS_", "PYTEST_", "COV_"))}
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL"):
        kept.pop(name, None)
    made = Project(root=root, home=tmp_path / "home", spool=tmp_path / "spool")
    made.environ = kept | {
        "TESTBUS_URL": made.home.as_uri(),
        "TESTBUS_SPOOL": str(made.spool),
        # Generous, for a machine that is busy with other things; tests of the bound set their own.
        "TESTBUS_EXIT_TIMEOUT": "30",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": LEAN,
    }
    return made
