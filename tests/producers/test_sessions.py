"""Whole sessions: what is published is what pytest's own JUnit XML says, test for test."""

from __future__ import annotations

import itertools
import signal
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from testbus_schemas import CoverageRecorded, ProducerFinished, ProducerStarted, ResultsRecorded, TestsCollected
from testbus_schemas.coverage import parse_lines

if TYPE_CHECKING:
    from tests.producers.conftest import Project

MIXED = """
    import os
    import unittest
    import pytest

    def test_passes(): print("nobody reads this")
    def test_fails():
        print("token=hunter2")
        assert {"a": 1} == {"a": 2}
    def test_raises():
        try:
            {}["key"]
        except KeyError as error:
            raise RuntimeError("wrapped password=hunter2") from error
    @pytest.mark.parametrize("value", [1, "two", object()])
    def test_parametrised(value): pass
    @pytest.mark.slow
    @pytest.mark.issue("ABC-1")
    class TestClass:
        def test_method(self): pass
        class TestInner:
            def test_inner(self): raise ValueError
    @pytest.fixture
    def broken_setup(): raise OSError("no such thing")
    @pytest.fixture
    def broken_teardown():
        yield
        raise OSError("left behind")
    def test_setup_error(broken_setup): pass
    def test_teardown_error(broken_teardown): pass
    def test_fails_twice(broken_teardown): assert False
    def test_skips(): pytest.skip("not today")
    @pytest.mark.skip(reason="never")
    def test_skipped(): pass
    def test_skips_and_breaks(broken_teardown): pytest.skip("and more")
    @pytest.mark.xfail(reason="known")
    def test_xfails(): assert False
    @pytest.mark.xfail(strict=False)
    def test_xpasses(): pass
    @pytest.mark.xfail(strict=True, reason="was known")
    def test_xpasses_strictly(): pass
    def test_imperative_xfail(): pytest.xfail("gave up")
    class TestUnit(unittest.TestCase):
        def test_ok(self): pass
        def test_not_ok(self): self.assertEqual(1, 2)
        @unittest.expectedFailure
        def test_expected(self): self.fail()
        @unittest.skip("because")
        def test_unit_skip(self): pass
    def test_subtests(subtests):
        for number in range(3):
            with subtests.test(number=number):
                assert number != 1
    def test_good_subtests(subtests):
        with subtests.test("fine"):
            pass
    def test_exits(): raise SystemExit(3)
    def test_group(): raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])
    class Unprintable(Exception):
        def __str__(self): raise RuntimeError("no")
        __repr__ = __str__
    def test_unprintable(): raise Unprintable
"""

PRODUCT = """\
def choose(flag):
    if flag:
        return 1
    return 2


def never():  # pragma: no cover
    pass
"""

EXPECTED = {
    "test_passes": "passed",
    "test_fails": "failed",
    "test_raises": "failed",
    "TestClass::test_method": "passed",
    "TestClass::TestInner::test_inner": "failed",
    "test_setup_error": "error",
    "test_teardown_error": "error",
    "test_fails_twice": "failed",
    "test_skips": "skipped",
    "test_skipped": "skipped",
    "test_skips_and_breaks": "error",
    "test_xfails": "xfailed",
    "test_xpasses": "xpassed",
    "test_xpasses_strictly": "failed",
    "test_imperative_xfail": "xfailed",
    "TestUnit::test_expected": "xfailed",
    "test_subtests": "failed",
    "test_good_subtests": "passed",
    "test_exits": "failed",
    "test_unprintable": "failed",
}


@pytest.mark.parametrize(
    "arguments", [(), ("-n2",), ("-n2", "--dist=loadfile"), ("-x",), ("--maxfail=3", "-n2"), ("-q", "--tb=no")]
)
def test_every_outcome_is_that_of_the_junit_xml(project: Project, arguments: tuple[str, ...]) -> None:
    """A suite with every kind of outcome says the same both ways, also in parallel and when it stops early."""
    project.write(test_mixed=MIXED)
    ran = project.run(*arguments)
    assert ran.status in {1, 2}, ran.output
    assert project.as_junit() == project.junit()
    assert project.spools() == []
    if not {"-x", "--maxfail=3"} & set(arguments):
        found = {node_id.removeprefix("test_mixed.py::"): outcome for node_id, outcome in project.outcomes().items()}
        assert found | EXPECTED == found
    keys = [(result.node_id, result.attempt) for result in project.results()]
    assert len(keys) == len(set(keys))


def test_a_session_tells_its_whole_story(project: Project) -> None:
    """Started, collected, results and finished are numbered without a gap, and the end counts them all."""
    project.write(test_mixed=MIXED)
    ran = project.run(TESTBUS_PROJECT="shop", TESTBUS_SHARD="1/2", TESTBUS_LABELS="os=linux")
    events = project.events()
    assert [event.data.producer.sequence for event in events if event.data.producer] == list(range(1, len(events) + 1))
    assert isinstance(events[0].data, ProducerStarted)
    (collected,) = project.data(TestsCollected)
    (finished,) = project.data(ProducerFinished)
    assert set(collected.node_ids) == set(project.outcomes())
    assert (finished.events, finished.status, finished.exit_status) == (len(events), "finished", 1)
    assert finished.collected == finished.reported == len(project.results())
    context = finished.context
    assert (context.project, context.shard_index, context.labels) == ("shop", 1, {"os": "linux"})
    assert {message.routing_key for message in project.messages()} >= {
        "results.recorded.shop",
        "producer.finished.shop",
    }
    assert ran.line == (
        f"testbus: {finished.reported} results in {len(events)} events sent to {project.home} · run {context.run}"
    )


@pytest.mark.parametrize("arguments", [(), ("-n2",)])
def test_a_result_says_what_one_needs_to_understand_it(project: Project, arguments: tuple[str, ...]) -> None:
    """Failure, chain, frames, parameters, markers, places and output, without secrets; also through xdist."""
    project.write(test_mixed=MIXED)
    project.run(*arguments)
    by_name = {result.node_id.removeprefix("test_mixed.py::"): result for result in project.results()}

    raised = by_name["test_raises"]
    (failure,) = raised.failures
    assert (failure.phase, failure.type, failure.message) == ("call", "RuntimeError", "wrapped password=[redacted]")
    assert [(cause.type, cause.message) for cause in failure.chain] == [("KeyError", "'key'")]
    assert [(frame.path, frame.function) for frame in failure.frames] == [("test_mixed.py", "test_raises")]
    assert "RuntimeError" in failure.text
    assert (raised.file, raised.line, raised.code_ref) == ("test_mixed.py", 10, "test_mixed.py:test_raises")
    assert raised.worker is None if not arguments else raised.worker in {"gw0", "gw1"}
    assert raised.started_at is not None
    assert set(raised.phases) == {"setup", "call", "teardown"}

    assert [(out.name, out.text) for out in by_name["test_fails"].output] == [("stdout", "token=[redacted]")]
    assert by_name["test_passes"].output == ()
    assert by_name["test_parametrised[two]"].parameters == {"value": "two"}
    assert by_name["test_parametrised[value2]"].parameters == {"value": "<object object>"}
    assert [(marker.name, marker.args) for marker in by_name["TestClass::test_method"].markers] == [
        ("issue", ("ABC-1",)),
        ("slow", ()),
    ]
    assert by_name["TestClass::TestInner::test_inner"].code_ref == "test_mixed.py:TestClass.TestInner.test_inner"
    assert [failure.phase for failure in by_name["test_fails_twice"].failures] == ["call", "teardown"]
    assert by_name["test_setup_error"].failures[0].phase == "setup"
    assert by_name["test_skips"].reason == "not today"
    assert by_name["test_xfails"].reason == "known"
    assert [failure.type for failure in by_name["test_xfails"].failures] == ["AssertionError"]
    assert by_name["test_xpasses_strictly"].failures[0].type == "XPASS(strict)"
    assert len(by_name["test_subtests"].failures) == 1
    assert {cause.type for cause in by_name["test_group"].failures[0].chain} == {"ValueError", "TypeError"}
    assert "hunter2" not in "".join(event.model_dump_json() for event in project.events())


def test_what_cannot_be_encoded_is_still_a_result(project: Project) -> None:
    """Lone surrogates and NULs, in messages, output and names, cost nothing but themselves."""
    project.write(
        test_odd="""
            import pytest
            @pytest.mark.parametrize("text", ["\\udc80\\x00", "x" * 5000])
            def test_odd(text):
                print(text)
                raise ValueError(text)
        """
    )
    project.run("--tb=no")
    assert [str(result.outcome) for result in project.results()] == ["failed", "failed"]
    assert project.data(ProducerFinished)[0].reported == 2


@pytest.mark.parametrize("arguments", [(), ("-n2",), ("--continue-on-collection-errors",)])
def test_what_cannot_be_collected_is_a_result(project: Project, arguments: tuple[str, ...]) -> None:
    """A module that breaks on import is an error, one that skips itself is skipped, as in the JUnit XML."""
    project.write(
        test_breaks="import nothing_of_this_name",
        test_syntax="def test_x(: pass",
        test_skips="import pytest\npytest.skip('not here', allow_module_level=True)",
        test_fine="def test_fine(): pass",
    )
    ran = project.run(*arguments)
    assert project.as_junit() == project.junit()
    outcomes = project.outcomes()
    assert outcomes["test_breaks.py"] == outcomes["test_syntax.py"] == "error"
    assert outcomes["test_skips.py"] == "skipped"
    broken = next(result for result in project.results() if result.node_id == "test_breaks.py")
    assert (broken.failures[0].phase, broken.failures[0].type) == ("collect", "ModuleNotFoundError")
    (finished,) = project.data(ProducerFinished)
    assert (finished.status, finished.exit_status) == ("finished", ran.status)


def test_a_crashed_worker_is_an_error_of_the_test_it_ran(project: Project) -> None:
    """A worker is replaced, and the test that took it down is told apart."""
    project.write(
        test_crash="""
            import os
            def test_before(): pass
            def test_crashes(): os._exit(7)
            def test_after(): pass
        """
    )
    ran = project.run("-n1")
    assert ran.status == 1
    assert project.as_junit() == project.junit()
    crashed = next(result for result in project.results() if result.node_id.endswith("test_crashes"))
    assert (crashed.outcome, crashed.failures[0].type, crashed.worker) == ("error", "WorkerCrashed", "gw0")


def test_a_timeout_is_told_apart(project: Project) -> None:
    """pytest-timeout says in its exception that it was the one."""
    project.write(test_slow="import time\ndef test_slow():\n    while True: time.sleep(1)")
    project.run("--timeout=0.5")
    assert project.outcomes() == {"test_slow.py::test_slow": "timeout"}
    assert project.as_junit() == project.junit()


@pytest.mark.parametrize("arguments", [(), ("-n2",)])
def test_a_repeated_test_has_attempts(project: Project, arguments: tuple[str, ...]) -> None:
    """pytest-rerunfailures makes attempts of one test; each has its own phases and failure."""
    project.write(
        test_flaky="""
            import pytest
            calls = []
            @pytest.mark.flaky(reruns=2)
            def test_flaky():
                calls.append(1)
                assert len(calls) == 3
            @pytest.fixture
            def unsteady():
                calls.append(1)
                if len(calls) % 2: raise OSError("not yet")
            @pytest.mark.flaky(reruns=2)
            def test_unsteady(unsteady): pass
            @pytest.mark.flaky(reruns=1)
            def test_broken(): assert 0
        """,
    )
    ran = project.run(*arguments)
    assert ran.status == 1, ran.output
    attempts: dict[str, list[tuple[int, str, int]]] = {}
    for result in project.results():
        name = result.node_id.partition("::")[2]
        attempts.setdefault(name, []).append((result.attempt, str(result.outcome), len(result.failures)))
    assert attempts["test_flaky"] == [(1, "failed", 1), (2, "failed", 1), (3, "passed", 0)]
    assert attempts["test_broken"] == [(1, "failed", 1), (2, "failed", 1)]
    assert attempts["test_unsteady"][-1][1] == "passed"
    assert [attempt for attempt, _, _ in attempts["test_unsteady"]] == list(
        range(1, len(attempts["test_unsteady"]) + 1)
    )


@pytest.mark.parametrize("arguments", [(), ("-n2",)])
def test_ctrl_c_is_an_interruption(project: Project, arguments: tuple[str, ...]) -> None:
    """What had ended is published, the rest was collected, and the end says why."""
    project.write(
        test_wait="""
            import pathlib, time, pytest
            def test_first(): pass
            def test_second():
                pathlib.Path("running").touch()
                while True: time.sleep(0.05)
            def test_third(): pass
        """
    )
    process = project.start(*arguments)
    wait_until((project.root / "running").exists, 60, "the second test runs")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert project.as_junit() == project.junit()
    (finished,) = project.data(ProducerFinished)
    assert (finished.status, finished.exit_status, finished.collected) == ("interrupted", 2, 3)
    assert "test_wait.py::test_second" not in project.outcomes()


@pytest.mark.parametrize("arguments", [("-k", "nothing"), ("missing.py",), ("--testbus-shard=0/3",)])
def test_the_exit_status_is_that_of_pytest(project: Project, arguments: tuple[str, ...]) -> None:
    """No tests, usage errors: the same status with and without testbus, but for a wrong option of its own."""
    project.write(test_fine="def test_fine(): pass")
    ran = project.run(*arguments)
    assert ran.status == (project.run(*arguments, "--no-testbus").status if "shard" not in arguments[0] else 4)


def test_a_wrong_variable_costs_a_line_not_the_tests(project: Project) -> None:
    """The line names the variable."""
    project.write(test_fine="def test_fine(): pass")
    ran = project.run(TESTBUS_SHARD="9/3")
    assert ran.status == 0
    assert "nothing was published: TESTBUS_SHARD='9/3'" in ran.line


def test_without_a_url_one_quiet_line_says_so(project: Project) -> None:
    """As in a pull request from a fork, which gets no secrets."""
    project.write(test_fine="def test_fine(): pass")
    assert project.run("--testbus", TESTBUS_URL="").line == "testbus: TESTBUS_URL is not set: nothing was published"
    assert project.run(TESTBUS_URL="").line == ""
    assert project.spools() == []


@pytest.mark.parametrize("arguments", [("--no-testbus",), ("-p", "no:testbus"), ("--collect-only",), ("--fixtures",)])
def test_it_can_be_switched_off(project: Project, arguments: tuple[str, ...]) -> None:
    """And sessions in which no test runs publish nothing either."""
    project.write(test_fine="def test_fine(): pass")
    ran = project.run(*arguments)
    assert ran.status == 0
    assert ran.line == ""
    assert not project.home.exists()


def test_a_session_inside_of_a_test_does_not_join_by_accident(project: Project) -> None:
    """Neither one in the same process nor one in another; one that says --testbus is a run of its own."""
    project.write(
        conftest='pytest_plugins = ["pytester"]',
        test_outer="""
            import subprocess, sys
            def test_inline(pytester):
                pytester.makepyfile("def test_inner_inline(): pass")
                assert pytester.inline_run().ret == 0
            def test_process(pytester):
                pytester.makepyfile("def test_inner_process(): pass")
                assert pytester.runpytest_subprocess().ret == 0
            def test_wanted(pytester):
                pytester.makepyfile("def test_inner_wanted(): pass")
                assert pytester.runpytest_subprocess("--testbus").ret == 0
            def test_still_outer(): pass
        """,
    )
    ran = project.run(TESTBUS_RUN_ID="outer")
    assert ran.status == 0, ran.output
    runs = {
        result.node_id.rpartition("::")[2]: data.context.run
        for data in project.data(ResultsRecorded)
        for result in data.results
    }
    assert set(runs) == {"test_inline", "test_process", "test_wanted", "test_still_outer", "test_inner_wanted"}
    assert {runs[name] for name in runs if name != "test_inner_wanted"} == {"outer"}
    assert runs["test_inner_wanted"] != "outer"


def test_a_forked_child_leaves_the_spool_alone(project: Project) -> None:
    """A test that forks and returns twice publishes once."""
    project.write(
        test_fork="""
            import os
            def test_forks():
                if os.fork() == 0:
                    return
                os.wait()
            def test_after(): pass
        """
    )
    project.run()
    assert [result.node_id for result in project.results()] == ["test_fork.py::test_forks", "test_fork.py::test_after"]
    assert len(project.data(ProducerFinished)) == 1


@pytest.mark.parametrize("arguments", [("--cov-branch",), ("-n2", "--cov-branch"), ()])
def test_coverage_goes_along(project: Project, arguments: tuple[str, ...]) -> None:
    """When pytest-cov ran, its data are published, with branches when these were measured."""
    project.write(
        product=PRODUCT,
        test_product="import product\ndef test_choose():\n    assert product.choose(True) == 1\n",
    )
    ran = project.run("--cov=product", *arguments)
    assert ran.status == 0, ran.output
    (coverage,) = project.data(CoverageRecorded)
    (file,) = coverage.files
    assert (file.path, coverage.chunks, coverage.tool.split()[0]) == ("product.py", 1, "coverage.py")
    assert parse_lines(file.statements) == {1, 2, 3, 4}
    assert parse_lines(file.executed) == {1, 2, 3}
    assert parse_lines(file.excluded) == {7, 8}
    if "--cov-branch" in arguments:
        assert set(file.branches) == {(2, 3), (2, 4)}
        assert set(file.executed_branches) == {(2, 3)}
    else:
        assert file.branches is None


def test_many_results_come_in_full_events(project: Project) -> None:
    """At most 200 in one, each once, in their order."""
    project.write(test_many="import pytest\n@pytest.mark.parametrize('n', range(1000))\ndef test_n(n): pass\n")
    project.run("-q")
    sizes = [len(data.results) for data in project.data(ResultsRecorded)]
    assert max(sizes) <= 200
    assert [result.node_id for result in project.results()] == [f"test_many.py::test_n[{n}]" for n in range(1000)]


def test_nothing_heavy_is_imported_on_the_test_thread(project: Project) -> None:
    """Neither pydantic nor pika nor coverage is there when only a file is published to."""
    project.write(
        test_modules="""
            import sys
            def test_modules():
                assert not {"pydantic", "pika", "coverage"} & set(sys.modules)
        """
    )
    ran = project.run("-p", "no:cov", "-p", "no:pytest_cov")
    assert ran.status == 0, ran.output


def test_the_options_tell_the_context(project: Project) -> None:
    """Each option arrives in the context."""
    project.write(test_fine="def test_fine(): pass")
    names = ("run", "project", "suite", "stage", "component", "variant")
    project.run(
        "--testbus",
        *itertools.chain.from_iterable((f"--testbus-{name}", f"my-{name}") for name in names),
        "--testbus-shard=3",
    )
    context = project.events()[0].data.context
    assert [getattr(context, name) for name in names] == [f"my-{name}" for name in names]
    assert context.shard is not None
    assert (context.shard.index, context.shard.total) == (3, None)
