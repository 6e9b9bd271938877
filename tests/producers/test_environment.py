"""Where tests ran: what a session says of Python, packages, flags and the machine, and what `runs` keeps of it."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.testing import ConsumerHarness
from testbus_producers.context import environment
from testbus_producers.redaction.cleaner import Cleaner
from testbus_schemas import EnvironmentRecorded, ProducerFinished, RunCompleted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.producers.conftest import Project


def test_a_session_says_where_it_ran(project: Project, tmp_path: Path) -> None:
    """From the plugin through the spool to the record; the run is complete, and the event is counted."""
    project.write(test_a="def test_a(): pass")
    ran = project.run(TESTBUS_LABELS="board=rev2", TESTBUS_FLAGS="NEW_*,beta=on", NEW_CART="yes", NEW_TOKEN="hunter2a")
    assert "1 result in 6 events sent" in ran.line
    with ConsumerHarness(RUNS, tmp_path / "state") as runs:
        runs.deliver(*project.events())
        (decision,) = [event.data for event in runs.emitted if isinstance(event.data, RunCompleted)]
        assert runs.policy.records is not None
        (recorded,) = runs.policy.records.open(decision.context, decision.revision).environment().values()
    assert recorded.python == f"{platform.python_implementation()} {platform.python_version()}"
    assert recorded.packages["pytest"] == pytest.__version__
    assert recorded.labels == {"board": "rev2"}
    assert recorded.flags == {"NEW_CART": "yes", "NEW_TOKEN": "[redacted]", "beta": "on"}
    assert recorded.cpu is not None
    assert recorded.cpu.count
    assert recorded.memory
    assert recorded.platform == platform.platform()


def test_each_producer_says_it_once_and_before_its_end(project: Project) -> None:
    """Numbers have no gap, whatever the session lasts."""
    project.write(test_a="import time\ndef test_a(): time.sleep(1.2)\ndef test_b(): pass")
    project.run()
    events = project.events()
    assert [event.data.producer.sequence for event in events if event.data.producer] == list(range(1, len(events) + 1))
    assert len(project.data(EnvironmentRecorded)) == 1
    (finished,) = project.data(ProducerFinished)
    assert finished.events == len(events)


def test_nothing_of_it_is_recorded_where_that_is_not_wanted(project: Project) -> None:
    """TESTBUS_RECORD says what goes along; a word that means nothing is reported."""
    project.write(test_a="def test_a(): pass")
    project.run(TESTBUS_RECORD="none")
    assert not project.data(EnvironmentRecorded)
    assert (
        "TESTBUS_RECORD='weather': expected some of change, environment" in project.run(TESTBUS_RECORD="weather").output
    )


def test_flags_are_variables_globs_or_given() -> None:
    """Our own variables are none: one of them holds the broker's password."""
    environ = {"FEATURE_A": "1", "FEATURE_B": "0", "OTHER": "x", "TESTBUS_URL": "amqp://u:p@h/"}
    assert environment.flags_of(["FEATURE_*", "C=on", "ABSENT"], environ) == {
        "FEATURE_A": "1",
        "FEATURE_B": "0",
        "C": "on",
    }
    assert "TESTBUS_URL" not in environment.flags_of(["*"], environ)


def test_packages_are_found_by_their_metadata(tmp_path: Path) -> None:
    """Names as the index has them; the first folder that has a package holds."""
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, name in (
        (first, "Foo_Bar-1.0.dist-info"),
        (first, "zope.interface-6.1-py3.12.egg-info"),
        (first, "notes-about.txt"),
        (second, "foo_bar-2.0.dist-info"),
        (second, "odd-2.0rc1.post2+local.dist-info"),
    ):
        (folder / name).mkdir(parents=True)
    found = environment.packages([str(first), str(second), str(tmp_path / "none.zip")])
    assert found == {"foo-bar": "1.0", "zope-interface": "6.1", "odd": "2.0rc1.post2+local"}


def test_a_report_of_another_language_has_no_python() -> None:
    """`testbus publish` knows the machine, and not what ran there."""
    data = environment.describe({}, {"os": "linux"}, Cleaner(), python=False)
    assert "python" not in data
    assert "packages" not in data
    assert data["labels"] == {"os": "linux"}
