"""What tests say while they run: log records, steps, files; in this process and through xdist."""

from __future__ import annotations

import base64
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from testbus_schemas import ArtifactRecorded, LogLevel
from testbus_schemas.wire import MAX_CONTENT_BYTES, MAX_LOGS, MAX_LOGS_BYTES, MAX_STEPS

if TYPE_CHECKING:
    from testbus_schemas import Result, Step
    from tests.producers.conftest import Project

SUITE = """
    import asyncio
    import logging
    import threading
    import pytest
    import testbus

    log = logging.getLogger("shop.cart")

    @pytest.fixture
    def cart():
        log.warning("opened for token=hunter2")
        yield
        log.error("left behind")

    def test_quiet(cart): pass

    def test_fails(cart, capsys):
        print("printed")
        with testbus.step("log in"):
            log.warning("as %s", "ann")
            with testbus.step("type the password"):
                try:
                    1 / 0
                except ZeroDivisionError:
                    log.exception("wrong")
        with testbus.step("pay"):
            pay(3)

    @testbus.step("call the bank")
    def pay(amount):
        log.critical("no money")
        raise ValueError(amount)

    @testbus.step("fetch")
    async def fetch():
        async with testbus.step("wait"):
            await asyncio.sleep(0)

    @testbus.step("several")
    async def several():
        for number in range(2): yield number

    @testbus.step("one by one")
    def numbers(): yield from range(2)

    def test_passes():
        async def all_of_it():
            await asyncio.gather(fetch(), fetch())
            assert [number async for number in several()] == [0, 1]
        asyncio.run(all_of_it())
        assert list(numbers()) == [0, 1]

    def test_skips():
        with testbus.step("look"): pytest.skip("not today")

    def test_threads():
        with testbus.step("wait for it"):
            thread = threading.Thread(target=log.warning, args=("from beside",))
            thread.start()
            thread.join()
        assert 0

    @pytest.mark.xfail
    def test_xfails():
        log.warning("known")
        assert 0
"""


DESCRIBED = '''
    """Carts.

    Of the shop.
    """
    import pytest

    def test_one(): """Said of a test."""
    def test_two(): pass

    class TestEmpty:
        """token=hunter2"""
        class TestQuiet:
            def test_three(self): pass
            @pytest.mark.parametrize("a, b", [(3, "x"), (4, "y")])
            def test_four(self, a, b): pass

    def test_five(): pass
'''


def only(project: Project, name: str) -> Result:
    """Return the only result of a test."""
    (result,) = [result for result in project.results() if result.node_id.endswith(f"::{name}")]
    return result


def shape(steps: tuple[Step, ...]) -> list[tuple[str, str, list[Any]]]:
    """Return names and outcomes of steps and of what is below."""
    return [(step.name, step.outcome.value, shape(step.steps)) for step in steps]


@pytest.mark.parametrize("arguments", [(), ("-n2",)])
def test_records_and_steps_come_with_levels_times_and_places(project: Project, arguments: tuple[str, ...]) -> None:
    """Each record is where it was logged, with its level and time, redacted; and the log is not sent as text, too."""
    project.write(test_shop=SUITE)
    before = datetime.now(UTC)
    ran = project.run(*arguments)
    assert ran.status == 1
    failed = only(project, "test_fails")
    assert [(one.level.value, one.message, one.logger) for one in failed.logs] == [
        ("warn", "opened for token=[redacted]", "shop.cart"),
        ("error", "left behind", "shop.cart"),
    ]
    log_in, pay = failed.steps
    assert shape(failed.steps) == [
        ("log in", "passed", [("type the password", "passed", [])]),
        ("pay", "failed", [("call the bank", "failed", [])]),
    ]
    assert [(one.level, one.message) for one in log_in.logs] == [(LogLevel.WARN, "as ann")]
    (wrong,) = log_in.steps[0].logs
    assert wrong.level is LogLevel.ERROR
    assert wrong.message.startswith("wrong\nTraceback")
    assert wrong.message.endswith("ZeroDivisionError: division by zero")
    assert [one.level for one in pay.steps[0].logs] == [LogLevel.FATAL]
    times = [failed.logs[0].time, log_in.started_at, log_in.logs[0].time, wrong.time, pay.started_at]
    assert all(times)
    assert [before, *times] == sorted([before, *times])  # type: ignore[type-var]
    assert sum(step.duration_s for step in failed.steps) <= failed.duration_s + 0.01
    assert [out.name for out in failed.output] == ["stdout"]
    assert all("testbus_producers" not in frame.path for frame in failed.failures[0].frames)
    assert "hunter2" not in "".join(event.model_dump_json() for event in project.events())


@pytest.mark.parametrize("arguments", [(), ("-n2",)])
def test_steps_of_tests_that_pass_go_along_and_their_logs_do_not(project: Project, arguments: tuple[str, ...]) -> None:
    """Tasks have steps of their own; generators are steps while they run; a skip is no failure."""
    project.write(test_shop=SUITE)
    project.run(*arguments)
    assert (only(project, "test_quiet").logs, only(project, "test_quiet").steps) == ((), ())
    fetch: tuple[str, str, list[Any]] = ("fetch", "passed", [("wait", "passed", [])])
    assert shape(only(project, "test_passes").steps) == [
        fetch,
        fetch,
        ("several", "passed", []),
        ("one by one", "passed", []),
    ]
    assert shape(only(project, "test_skips").steps) == [("look", "skipped", [])]
    assert [one.message for one in only(project, "test_threads").logs] == ["from beside"]
    assert [one.message for one in only(project, "test_xfails").logs] == ["known"]


@pytest.mark.parametrize(("policy", "quiet", "failed"), [("all", 2, 2), ("none", 0, 0), ("failed", 0, 2)])
def test_whose_logs_go_along_is_said_as_for_output(project: Project, policy: str, quiet: int, failed: int) -> None:
    """TESTBUS_OUTPUT decides about records, too; steps are there in any case."""
    project.write(test_shop=SUITE)
    project.run(TESTBUS_OUTPUT=policy)
    assert [len(only(project, name).logs) for name in ("test_quiet", "test_fails")] == [quiet, failed]
    assert len(only(project, "test_fails").steps) == 2


def test_attempts_have_their_own_records_and_files(project: Project) -> None:
    """Of a test that is tried again, each attempt says what it said."""
    project.write(
        test_flaky="""
            import logging
            import pytest
            import testbus
            tries = []
            @pytest.mark.flaky(reruns=1)
            def test_flaky():
                tries.append(1)
                logging.warning("try %s", len(tries))
                testbus.attach(b"%d" % len(tries), name="try.txt")
                with testbus.step(f"step {len(tries)}"): pass
                assert len(tries) > 2
        """
    )
    project.run()
    results = project.results()
    assert [[one.message for one in result.logs] for result in results] == [["try 1"], ["try 2"]]
    assert [[step.name for step in result.steps] for result in results] == [["step 1"], ["step 2"]]
    files = project.data(ArtifactRecorded)
    assert [(file.attempt, base64.b64decode(file.content)) for file in files] == [(1, b"1"), (2, b"2")]


def test_what_is_too_much_is_left_out_and_counted(project: Project) -> None:
    """Number, size and depth are bounded, the last records are kept, and one record says how much is missing."""
    project.write(
        test_much=f"""
            import contextlib, logging
            import testbus
            def test_many():
                for number in range({2 * MAX_LOGS}): logging.warning("record %s", number)
                assert 0
            def test_large():
                for number in range(20): logging.warning("%s %s", number, "x" * 5000)
                logging.warning("y" * 100000)
                assert 0
            def test_deep():
                with contextlib.ExitStack() as stack:
                    for number in range(20): stack.enter_context(testbus.step(f"level {{number}}"))
                    logging.warning("down here")
                for number in range({MAX_STEPS}):
                    with testbus.step("one more"): pass
                assert 0
        """
    )
    project.run()
    many, large, deep = project.results()
    assert len(many.logs) == MAX_LOGS + 1
    assert [one.message for one in many.logs[-2:]] == ["record 999", "left out: 500 of 1000 log records"]
    assert sum(len(one.message) for one in large.logs) < MAX_LOGS_BYTES + 100
    assert large.logs[-1].message.endswith("of 21 log records")
    assert "characters left out" in large.logs[-2].message
    assert deep.logs[-1].message == f"left out: {12 + 8} more steps"
    step = deep.steps[0]
    while step.steps:
        step = step.steps[0]
    assert (step.name, step.logs[0].message) == ("level 7", "down here")


@pytest.mark.parametrize("arguments", [(), ("-n2",)])
def test_files_and_screenshots_are_attached_to_their_test(project: Project, arguments: tuple[str, ...]) -> None:
    """Bytes and files, text redacted; what is too large is named, what is not there is a warning, and no test fails."""
    project.write(
        test_files=f"""
            import pathlib
            import testbus
            def test_shots(tmp_path):
                testbus.attach(b"\\x89PNG\\r\\n\\x1a\\nrest")
                pathlib.Path("out").mkdir()
                pathlib.Path("out/page.html").write_text("<p>password=hunter2</p>")
                testbus.attach("out/page.html")
                big = tmp_path / "trace.zip"
                big.write_bytes(b"x" * {MAX_CONTENT_BYTES + 1})
                testbus.attach(big, name="trace", media_type="application/zip")
                testbus.attach("nowhere.txt")
                testbus.attach(5)
        """
    )
    ran = project.run(*arguments, TESTBUS_OUTPUT="all")
    assert ran.status == 0, ran.output
    files = project.data(ArtifactRecorded)
    assert {file.node_id for file in files} == {"test_files.py::test_shots"}
    shot, page, trace = files
    assert (shot.name, shot.media_type, shot.path) == ("attachment.png", "image/png", None)
    assert base64.b64decode(page.content) == b"<p>password=[redacted]</p>"
    assert (page.name, page.path) == ("page.html", "out/page.html")
    assert (trace.name, trace.media_type, trace.content) == ("trace", "application/zip", None)
    logs = only(project, "test_shots").logs
    assert ["nowhere.txt" in one.message or "int" in one.message for one in logs] == [True, True]


def test_logging_is_as_it_would_be_unpublished(project: Project) -> None:
    """Levels and handlers are the project's own: none of them is changed for being published."""
    project.write(
        test_levels="""
            import logging
            import logging.config
            def test_level():
                assert logging.getLogger().level == logging.WARNING
                assert not logging.getLogger("a").isEnabledFor(logging.INFO)
            def test_broken_record():
                class Odd:
                    def __str__(self): raise RuntimeError
                logging.getLogger("quiet").propagate = False
                logging.getLogger("quiet").warning("unheard")
                logging.config.dictConfig({"version": 1})
            def test_after():
                logging.warning("still heard")
                assert 0
        """
    )
    project.run()
    assert project.outcomes()["test_levels.py::test_level"] == "passed"
    assert [one.message for one in only(project, "test_after").logs] == ["still heard"]


def test_a_level_of_pytest_holds(project: Project) -> None:
    """`log_level` lets more through, to pytest and to what is published."""
    project.write(
        test_level='import logging\ndef test_level():\n    logging.info("x")\n    logging.debug("y")\n    assert 0'
    )
    project.run("-o", "log_level=INFO")
    assert [(one.level, one.message) for one in project.results()[0].logs] == [(LogLevel.INFO, "x")]


def test_unpublished_they_do_nothing(project: Project) -> None:
    """Without a session that publishes, steps and files cost a look, and no test notices."""
    project.write(test_shop=SUITE, test_file="import testbus\ndef test_file(): testbus.attach('nowhere')")
    ran = project.run("--no-testbus")
    assert "2 failed, 3 passed, 1 skipped, 1 xfailed" in ran.output, ran.output
    assert project.events() == []


def test_importing_them_costs_little() -> None:
    """A program that is only instrumented loads neither pydantic nor inspect, pytest or logging."""
    code = "import sys, testbus; testbus.step('x').__enter__(); testbus.attach(b'x'); print(sorted(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    loaded = {name.partition(".")[0] for name in eval(told)}
    assert not loaded & {"pydantic", "inspect", "pytest", "logging", "asyncio", "pika", "mimetypes"}


def test_a_step_wants_a_name() -> None:
    """A decorator without its parentheses is told so, where it stands."""
    import testbus  # noqa: PLC0415

    with pytest.raises(TypeError, match="wants a name"):
        testbus.step(print)  # type: ignore[arg-type]


def test_the_first_test_of_a_process_tells_what_holds_it(project: Project) -> None:
    """Docstrings of modules and classes come once, redacted; what has none is not named."""
    project.write(test_shop=DESCRIBED, test_more="def test_more(): pass\n")
    assert project.run().status == 0
    told = {
        result.node_id: [(suite.node_id, suite.description) for suite in result.suites]
        for result in project.results()
        if result.suites
    }
    assert told == {
        "test_shop.py::test_one": [("test_shop.py", "Carts.\n\nOf the shop.")],
        "test_shop.py::TestEmpty::TestQuiet::test_three": [("test_shop.py::TestEmpty", "token=[redacted]")],
    }
    assert [result.description for result in project.results()].count(None) == len(project.results()) - 1


def test_each_worker_of_xdist_tells(project: Project) -> None:
    """None knows what the others told; nothing is lost when the first one's results are late."""
    project.write(test_shop=DESCRIBED)
    assert project.run("-n2").status == 0
    told = [(result.worker, suite.node_id) for result in project.results() for suite in result.suites]
    workers = {result.worker for result in project.results()}
    assert sorted(worker for worker, node_id in told if node_id == "test_shop.py") == sorted(workers)
    assert len(told) == len(set(told))


def test_parameters_come_with_their_numbers(project: Project) -> None:
    """As ReportPortal's `use_index` asks for."""
    project.write(test_shop=DESCRIBED)
    project.run()
    assert only(project, "test_four[4-y]").parameters == {"a": "4", "b": "y"}
    assert only(project, "test_four[4-y]").parameter_indices == {"a": 1, "b": 1}
