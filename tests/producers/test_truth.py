"""What is published is never better than what pytest says of the same session."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import pytest

from testbus_producers.values import lines_of, text_of
from testbus_schemas import ProducerFinished, TestsCollected

if TYPE_CHECKING:
    from tests.producers.conftest import Project

SLOW = """
    import time, pytest
    @pytest.mark.parametrize("n", range(6))
    def test_slow_but_fine(n): time.sleep(0.3)
"""


class Color(enum.Enum):
    """Says its name."""

    RED = 1


class Level(enum.IntEnum):
    """Says its value."""

    LOW = 1


class Way(enum.Flag):
    """Says which are set."""

    IN = 1
    OUT = 2


class Point(NamedTuple):
    """Says its fields."""

    x: object
    y: object


@dataclass
class Price:
    """Says its fields as well."""

    amount: int
    note: object


#: Name → conftest, test module, arguments, and why it stopped.
STOPPED = {
    "session-timeout": ("", SLOW, ("--session-timeout=0.5",), "session-timeout: 0.5 sec exceeded"),
    "shouldstop": (
        "def pytest_runtest_teardown(item): item.session.shouldstop = 'the battery is low'",
        SLOW,
        (),
        "the battery is low",
    ),
    "shouldfail": (
        "def pytest_runtest_teardown(item): item.session.shouldfail = 'the disk is full'",
        SLOW,
        (),
        "the disk is full",
    ),
    "interrupted-in-a-hook": (
        "import pytest\n    def pytest_runtest_logfinish(): raise pytest.Session.Interrupted('no more')",
        SLOW,
        (),
        "no more",
    ),
}


@pytest.mark.parametrize("name", sorted(STOPPED))
def test_a_session_that_stops_early_says_what_did_not_run(project: Project, name: str) -> None:
    """No test failed, and pytest is red: the end says how many tests have no result, and why."""
    conftest, module, arguments, why = STOPPED[name]
    project.write(conftest=f"\n    {conftest}\n", test_a=module)
    ran = project.run(*arguments)
    assert ran.status in {1, 2}, ran.output
    (end,) = project.data(ProducerFinished)
    assert (end.status, end.exit_status, end.failed, end.failures) == ("finished", ran.status, 0, 0)
    left_out = 6 - end.reported
    assert end.left_out == left_out > 0
    assert why in (end.stopped or "")
    assert (end.contradiction or "").startswith(f"it stopped before {left_out} of 6 tests had run: ")


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "Stop", "Silent", "pytest.exit.Exception"])
def test_whoever_interrupts_a_session_interrupts_it(project: Project, error: str) -> None:
    """Also by an exception of its own, whatever its message does."""
    project.write(
        test_a=f"""
            import pytest
            class Stop(KeyboardInterrupt):
                def __str__(self): raise ValueError("no text")
            class Silent(Stop):
                def __str__(self): raise SystemExit(9)
            def test_a(): pass
            def test_b(): raise {error}
            def test_c(): assert 0
        """
    )
    ran = project.run()
    assert ran.status == 2, ran.output
    assert "internal error" not in ran.output
    (end,) = project.data(ProducerFinished)
    assert (end.status, end.exit_status, end.left_out) == ("interrupted", 2, 2)


@pytest.mark.parametrize(
    ("conftest", "arguments"),
    [
        ("", ("--keep-duplicates", "test_a.py", "test_a.py")),
        ("", ("-n2", "--keep-duplicates", "test_a.py", "test_a.py")),
        ("def pytest_collection_modifyitems(items): items[:] = items * 2", ()),
    ],
)
def test_tests_with_one_name_are_tests_of_their_own(
    project: Project, conftest: str, arguments: tuple[str, ...]
) -> None:
    """One of them failed and the other did not: neither is an attempt of the other, and the run is not flaky."""
    project.write(
        conftest=conftest,
        test_a="""
            import os, pytest
            def test_one():
                os.close(os.open("was_here", os.O_CREAT | os.O_EXCL))
            @pytest.mark.flaky(reruns=1)
            def test_rerun():
                os.close(os.open(f"again{os.getpid()}", os.O_CREAT | os.O_EXCL) if os.path.exists("second") else
                         os.open("second", os.O_CREAT) if os.path.exists("first") else
                         os.open("first", os.O_CREAT | os.O_TRUNC) * 0 - 1)
        """,
    )
    ran = project.run(*arguments)
    assert ran.status == 1, ran.output
    found = [(one.node_id, one.attempt, one.outcome.value) for one in project.results() if "test_one" in one.node_id]
    assert {(name, attempt) for name, attempt, _ in found} == {("test_a.py::test_one", 1), ("test_a.py::test_one#2", 1)}
    assert sorted(outcome for _, _, outcome in found) == ["failed", "passed"]
    (collected,) = project.data(TestsCollected)
    assert set(collected.node_ids) == {one.node_id for one in project.results()}
    (end,) = project.data(ProducerFinished)
    assert (end.left_out, end.contradiction) == (0, None)


def test_each_worker_has_results_of_its_own(project: Project) -> None:
    """With --dist each every worker runs all tests: what fails in one of them has failed."""
    project.write(test_a="import os\ndef test_one(): assert os.environ['PYTEST_XDIST_WORKER'] != 'gw0'\n")
    ran = project.run("-n2", "--dist=each")
    assert ran.status == 1, ran.output
    assert project.outcomes() == {"test_a.py::test_one@gw0": "failed", "test_a.py::test_one@gw1": "passed"}
    (end,) = project.data(ProducerFinished)
    assert (end.collected, end.reported, end.left_out, end.failed) == (2, 2, 0, 1)


@pytest.mark.parametrize("arguments", [(), ("-n1",)])
def test_a_subtest_that_failed_before_a_rerun_has_failed(project: Project, arguments: tuple[str, ...]) -> None:
    """Its reports come before that of the setup, and pytest counts it whatever the rerun says."""
    project.write(
        test_a="""
            import unittest
            class TestPrices(unittest.TestCase):
                def test_none_is_one(self):
                    for n in range(3):
                        with self.subTest(n=n): self.assertNotEqual(n, 1)
            CALLS = []
            def test_better(subtests):
                CALLS.append(1)
                for n in range(3):
                    with subtests.test(n=n): assert n != 1 or len(CALLS) > 1
            def test_broken(subtests):
                with subtests.test("always"): assert 0
            def test_fine(subtests):
                with subtests.test("never"): pass
        """
    )
    ran = project.run("--reruns=1", *arguments)
    assert ran.status == 1, ran.output
    ends = {one.node_id.rpartition("::")[2]: (one.attempt, one.outcome.value) for one in project.results()}
    assert {name: outcome for name, (_, outcome) in ends.items()} == {
        "test_none_is_one": "failed",
        "test_better": "failed",
        "test_broken": "failed",
        "test_fine": "passed",
    }
    assert all(one.started_at and one.phases for one in project.results())


def test_odd_details_cost_a_result_nothing_but_themselves(project: Project) -> None:
    """Locations, durations, parameters and reports that no schema takes: outcomes are those of the JUnit XML."""
    project.write(
        conftest="""
            import sys, pytest
            ODD = {"text": "1", "negative": -7, "large": 10 ** 30, "float": 1.5, "list": [1]}
            DURATIONS = {"text": -5.0, "negative": float("nan"), "large": float("inf"), "float": 1e300, "list": 3}
            def pytest_collect_file(file_path, parent):
                if file_path.suffix == ".cases":
                    return Cases.from_parent(parent, path=file_path)
            class Cases(pytest.File):
                def collect(self):
                    for name in ODD:
                        yield Case.from_parent(self, name=name)
            class Case(pytest.Item):
                def runtest(self):
                    assert self.name != "text"
                def reportinfo(self):
                    return self.path, ODD[self.name], self.name
            class Odd:
                def __str__(self):
                    if sys._getframe(1).f_globals["__name__"].startswith("testbus"):
                        raise ValueError("no text")
                    return "odd"
            @pytest.hookimpl(wrapper=True, tryfirst=True)
            def pytest_runtest_makereport(item, call):
                report = yield
                name = item.name
                if name in DURATIONS:
                    report.duration = DURATIONS[name]
                    report.start = -1e9
                if name == "test_longrepr" and report.when == "call":
                    report.longrepr = Odd()
                return report
        """,
        test_b="""
            import pytest
            BIG = 2 ** 20000
            @pytest.fixture
            def database(): raise OSError("no database")
            @pytest.mark.parametrize("n", [BIG], ids=["big"])
            def test_setup_is_broken(n, database): pass
            @pytest.mark.skip(reason="not today")
            @pytest.mark.parametrize("n", [BIG], ids=["big"])
            def test_skipped(n): pass
            @pytest.mark.parametrize("n", [[BIG], {"a": BIG}, -BIG], ids="abc")
            def test_fine(n): pass
        """,
        test_c="def test_longrepr(): assert 0\n",
    )
    (project.root / "web.cases").touch()
    ran = project.run()
    outcomes = {name.rpartition("::")[2]: outcome for name, outcome in project.outcomes().items()}
    assert outcomes == {
        "text": "failed",
        "negative": "passed",
        "large": "passed",
        "float": "passed",
        "list": "passed",
        "test_setup_is_broken[big]": "error",
        "test_skipped[big]": "skipped",
        "test_fine[a]": "passed",
        "test_fine[b]": "passed",
        "test_fine[c]": "passed",
        "test_longrepr": "failed",
    }, ran.output
    assert all(0 <= one.duration_s < 60 for one in project.results())
    assert {one.started_at.year for one in project.results() if one.started_at} == {project.events()[0].time.year}
    (end,) = project.data(ProducerFinished)
    assert (end.faults, end.contradiction) == (0, None)


@pytest.mark.parametrize("arguments", [(), ("-n1",)])
def test_times_are_right_whatever_a_test_does_to_the_clocks(project: Project, arguments: tuple[str, ...]) -> None:
    """As freezegun does for a module: every function of the clock is replaced, in pytest's modules as well."""
    project.write(
        test_a="""
            import sys, time, datetime, logging, pytest, testbus
            REAL = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter", "time_ns")}
            @pytest.fixture(scope="module", autouse=True, params=[-500_000_000.0, 1_577_836_800.0, 9e11])
            def moved(request):
                frozen = {id(real): (lambda: request.param) for real in REAL.values()}
                changed = []
                for module in list(sys.modules.values()):
                    for name, value in list(getattr(module, "__dict__", {}).items()):
                        if id(value) in frozen and module is not sys.modules[__name__]:
                            changed.append((module, name, value))
                            setattr(module, name, frozen[id(value)])
                yield
                for module, name, value in changed:
                    setattr(module, name, value)
            def test_one(): pass
            def test_two():
                REAL["time"]
                with testbus.step("a step"): logging.getLogger("shop").warning("careful")
            def test_bad():
                logging.getLogger("shop").warning("careful")
                with testbus.step("a step"): assert 0
        """,
        test_b="def test_other(): pass\ndef test_other_bad(): assert 0\n",
    )
    ran = project.run(*arguments)
    assert ran.status == 1, ran.output
    results = project.results()
    assert sorted(one.outcome.value for one in results) == ["failed"] * 4 + ["passed"] * 7
    year = project.events()[0].time.year
    assert {one.started_at.year for one in results if one.started_at} == {year}
    assert all(0 < one.duration_s < 60 for one in results)
    assert {record.time.year for one in results for record in one.logs} == {year}
    assert all(step.started_at and step.started_at.year == year for one in results for step in one.steps)


def test_a_value_is_written_out_only_where_python_itself_does_it() -> None:
    """Of anything else it is said what it is; containers, dataclasses and enumerations are looked into."""

    class Silent:
        def __str__(self) -> str:
            raise SystemExit

        __repr__ = __str__

    class Shy(enum.Enum):
        ONE = 1

        def __repr__(self) -> str:
            raise SystemExit

    class Decimal2(Decimal):
        def __str__(self) -> str:
            raise SystemExit

    values = (
        *(1, -1.5, True, None, "text", b"\xff", (1,), {"a": [1, "b"]}, {3}, Decimal("1.20"), PurePosixPath("/a/b")),
        *(Color.RED, Level.LOW, Point(1, "b"), range(3), 1j, ValueError("wrong")),
        *(Color, Level, Way, [Color.RED], {"a": (Level.LOW, Way.IN | Way.OUT, Color)}),
    )
    assert [text_of(value) for value in values] == [str(value) for value in values]
    assert text_of(Price(1, "a")) == "Price(amount=1, note='a')"
    for value in (Silent(), [Silent()], Price(1, Silent()), Point(Silent(), 1), Decimal2(1), {"a": Silent()}):
        assert " object at 0x" in text_of(value)
    assert text_of([Shy.ONE]) == "[Shy.ONE]"
    assert text_of(2**20000) == "<an integer of 20001 bits>"
    assert lines_of(["a", 1]) == "a\n1"
