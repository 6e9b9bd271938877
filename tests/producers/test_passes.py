"""Tests that do nothing but pass go a short way: it says of them what the long way says, and never more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbus_broker.segments import SegmentReader
from testbus_producers.spool.event_builder import PASSED, RESULT

if TYPE_CHECKING:
    from tests.producers.conftest import Project

PASSING = """
    import unittest
    from shared import Shared
    def test_a(): pass
    def test_b(): pass
    class TestClass:
        def test_c(self): pass
        def test_d(self): pass
    class TestUnit(unittest.TestCase):
        def test_e(self): pass
    class TestShared(Shared):
        def test_g(self): pass
"""

#: Tests that are in another file than their node ids say.
SHARED = """
    class Shared:
        def test_f(self): pass
        def test_h(self): pass
"""

#: A plugin whose tests have neither a line nor a place in the code.
NOTES = """
    import pytest
    class Note(pytest.Item):
        def runtest(self): pass
        def reportinfo(self): return self.path, None, self.name
    class Notes(pytest.File):
        def collect(self):
            return [Note.from_parent(self, name=name) for name in ("first", "second", "caf\\u00e9")]
    def pytest_collect_file(parent, file_path):
        if file_path.name == "test_notes.py":
            return Notes.from_parent(parent, path=file_path)
"""

#: Ways in which a plugin makes a report worse once everybody else has seen it.
CHANGES = {
    "a call that failed": ("call", "report.outcome, report.longrepr = 'failed', 'leaked a handle'", "failed"),
    "a setup that failed": ("setup", "report.outcome, report.longrepr = 'failed', 'leaked a handle'", "error"),
    "a failure that was expected": ("call", "report.outcome, report.wasxfail = 'skipped', 'known'", "xfailed"),
}


def test_both_ways_say_the_same(project: Project) -> None:
    """The long way is that of a session that keeps all output."""
    project.write(conftest=NOTES, shared=SHARED, test_plain=PASSING, test_notes="")
    assert project.run().status == 0
    short = project.results()
    assert project.run(TESTBUS_OUTPUT="all").status == 0
    long = project.results()[len(short) :]
    assert len(short) == 11
    measured = {"started_at", "duration_s", "phases"}
    for results in (short, long):
        for result in results:
            assert result.started_at is not None
            assert result.duration_s is not None
            assert set(result.phases or {}) == {"setup", "call", "teardown"}
            assert result.duration_s == pytest.approx(sum((result.phases or {}).values()), abs=1e-5)
    assert [one.model_dump(exclude=measured) for one in short] == [one.model_dump(exclude=measured) for one in long]


def test_the_first_test_of_a_module_goes_the_short_way(project: Project) -> None:
    """The long one is left to tests with something to add, as the docstring of what holds them."""
    project.write(
        test_plain=PASSING,
        shared=SHARED,
        test_told="""
            'Of the shop.'
            def test_first(): pass
            class TestClass:
                def test_second(self): pass
        """,
    )
    assert project.run(TESTBUS_URL="amqp://127.0.0.1:1/", TESTBUS_EXIT_TIMEOUT="0").status == 0
    (segment,) = project.spool.glob("*/*.seg")
    records = [record.payload for record in SegmentReader(segment)]
    assert sum(payload[:1] == PASSED for payload in records) == 9
    (long,) = (payload for payload in records if payload[:1] == RESULT)
    assert b"test_told.py::test_first" in long


@pytest.mark.parametrize("name", CHANGES)
def test_a_report_that_is_changed_later_counts_as_it_is_in_the_end(project: Project, name: str) -> None:
    """Of a plugin that looks at a report after us, pytest's summary may not know; we do."""
    when, change, changed = CHANGES[name]
    project.write(
        conftest=f"""
            import pytest
            @pytest.hookimpl(trylast=True)
            def pytest_runtest_logreport(report):
                if report.nodeid.endswith("test_b") and report.when == "{when}":
                    {change}
        """,
        shared=SHARED,
        test_plain=PASSING,
    )
    project.run()
    outcomes = {node_id.rpartition("::")[2]: outcome for node_id, outcome in project.outcomes().items()}
    assert outcomes == dict.fromkeys(
        ("test_a", "test_c", "test_d", "test_e", "test_f", "test_g", "test_h"), "passed"
    ) | {"test_b": changed}


def test_an_exception_that_a_plugin_forgave_is_not_that_of_the_next_test(project: Project) -> None:
    """The one test passes although it raised, the next fails although it did not."""
    project.write(
        conftest="""
            import pytest
            @pytest.hookimpl(wrapper=True)
            def pytest_runtest_makereport(item):
                report = yield
                if report.when == "call":
                    report.outcome = "failed" if item.name == "test_b" else "passed"
                    report.longrepr = "leaked a handle" if item.name == "test_b" else None
                return report
        """,
        test_plain="""
            def test_first(): pass
            def test_a(): raise OSError("of the test before")
            def test_b(): pass
        """,
    )
    project.run()
    _, one, other = project.results()
    assert (str(one.outcome), one.failures) == ("passed", ())
    assert str(other.outcome) == "failed"
    assert "of the test before" not in other.model_dump_json()
