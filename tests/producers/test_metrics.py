"""What tests measure: `testbus.metric`, from the test through the spool to the record."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import testbus
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.testing import ConsumerHarness
from testbus_producers import recording
from testbus_schemas import Metric, MetricsRecorded, RunCompleted
from testbus_schemas.wire import MAX_METRICS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.producers.conftest import Project


@pytest.fixture
def project(project: Project) -> Project:
    """Return a project whose metrics are those of its tests only."""
    project.environ["TESTBUS_RECORD"] = "none"
    return project


MEASURES = """
    import pytest
    import testbus

    @pytest.fixture
    def database():
        yield
        testbus.metric("size", 12.5, "MB")

    def test_a(database):
        testbus.metric("queries", 7)
        testbus.metric("queries", 12)
        testbus.metric("throughput", 310, "1/s", better="higher")

    @pytest.mark.parametrize("number", range(3))
    def test_b(number):
        testbus.metric("queries", number)

    def test_plain(): pass
"""


def test_what_tests_measure_is_in_the_record(project: Project, tmp_path: Path) -> None:
    """With the test that it is about; of one name in one test the last value holds."""
    project.write(test_m=MEASURES)
    assert project.run().status == 0
    with ConsumerHarness(RUNS, tmp_path / "state") as runs:
        runs.deliver(*project.events())
        (decision,) = [event.data for event in runs.emitted if isinstance(event.data, RunCompleted)]
        assert runs.policy.records is not None
        record = runs.policy.records.open(decision.context, decision.revision)
        found = [metric for _, metric in record.metrics()]
    assert found == [
        Metric(name="queries", node_id="test_m.py::test_a", value=12),
        Metric(name="size", node_id="test_m.py::test_a", value=12.5, unit="MB"),
        Metric(name="throughput", node_id="test_m.py::test_a", value=310, unit="1/s", better="higher"),
        *(Metric(name="queries", node_id=f"test_m.py::test_b[{n}]", value=n) for n in range(3)),
    ]


def test_workers_of_xdist_hand_them_on(project: Project) -> None:
    """They are measured where tests run, and published where all reports are."""
    project.write(test_m=MEASURES)
    assert project.run("-n2").status == 0
    (data,) = project.data(MetricsRecorded)
    assert len(data.metrics) == 6


def test_a_session_without_metrics_sends_none(project: Project) -> None:
    """No event says that there is nothing."""
    project.write(test_m="def test_a(): pass")
    project.run()
    assert not project.data(MetricsRecorded)


def test_what_is_no_value_is_a_warning_of_its_test(project: Project) -> None:
    """A test never fails for what is said of it, and secrets in names are redacted."""
    project.write(
        test_m="""
        import testbus
        class Odd:
            def __float__(self): raise RuntimeError
        def test_a():
            for value in ("12", None, float("nan"), 10 ** 400, Odd()):
                testbus.metric("odd", value)
            testbus.metric("", 1)
            testbus.metric("good", 1, better="bigger")
            testbus.metric("password=hunter2secret", 1)
            for number in range(200):
                testbus.metric(f"many {number}", number)
    """
    )
    assert project.run(TESTBUS_OUTPUT="all").status == 0
    (data,) = project.data(MetricsRecorded)
    assert len(data.metrics) == recording.MAX_TEST_METRICS
    assert data.metrics[0].name == "password=[redacted]"
    (result,) = project.results()
    texts = [record.message for record in result.logs]
    assert any("nan is no value of a metric" in text for text in texts)
    assert any("a metric has a name" in text for text in texts)
    assert any("a test may have 100 metrics" in text for text in texts)


def test_what_is_beyond_the_bound_is_counted(project: Project) -> None:
    """One event has up to 2,000 values; how many more there were is in it."""
    project.write(
        test_m="""
        import pytest, testbus
        @pytest.mark.parametrize("number", range(30))
        def test_a(number):
            for one in range(100):
                testbus.metric(f"m{one}", one)
    """
    )
    project.run()
    (data,) = project.data(MetricsRecorded)
    assert (len(data.metrics), data.left_out) == (MAX_METRICS, 1000)


def test_outside_of_a_session_it_does_nothing() -> None:
    """And needs nothing of the consumers."""
    testbus.metric("queries", 12)
    code = "import sys, testbus; testbus.metric('n', 1); print([n for n in sys.modules if n.startswith('testbus_c')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
