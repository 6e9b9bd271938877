"""Small reports, each of one kind that was once read wrongly; see the README beside them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbus_schemas import fingerprint
from tests.producers.readers.reading import coverage, records, results, written

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = Path(__file__).with_name("cases")

#: File → each attempt: node id, its number, outcome, and of its first failure type and first line of the message.
EXPECTED: dict[str, list[tuple[str, int, str, str, str]]] = {
    "TEST-ATest.xml": [
        ("ATest::err", 1, "error", "java.lang.IllegalStateException", "boom"),
        ("ATest::ign", 1, "skipped", "", ""),
        ("ATest::adds", 1, "passed", "", ""),
        (
            "ATest::slow",
            1,
            "timeout",
            "org.junit.runners.model.TestTimedOutException",
            "test timed out after 20 milliseconds",
        ),
        ("ATest::fails", 1, "failed", "junit.framework.AssertionFailedError", "expected:<1> but was:<2>"),
    ],
    "TEST-NoSuchTest.xml": [("NoSuchTest", 1, "error", "java.lang.ClassNotFoundException", "NoSuchTest")],
    "suite_error.xml": [
        ("C::a", 1, "passed", "", ""),
        ("bad", 1, "error", "ClassNotFound", "no such class"),
    ],
    "gotestsum-build-failed.xml": [
        ("example.com/shop/good::TestAdds", 1, "passed", "", ""),
        ("gotestsum-build-failed.xml", 1, "error", "", "the report counts more failures than it shows"),
    ],
    "root_errors.xml": [
        ("C::a", 1, "passed", "", ""),
        ("root_errors.xml", 1, "error", "", "the report counts more failures than it shows"),
    ],
    "pytest-rerunfailures.xml": [
        ("test_rr.py::test_always", 1, "failed", "", "it failed and was run again; the report does not say why"),
        ("test_rr.py::test_always", 2, "failed", "", "it failed and was run again; the report does not say why"),
        ("test_rr.py::test_always", 3, "failed", "AssertionError", "boom"),
        ("test_rr.py::test_second", 1, "failed", "", "it failed and was run again; the report does not say why"),
        ("test_rr.py::test_second", 2, "passed", "", ""),
    ],
    "gotestsum-rerun.xml": [
        ("example.com/shop/cart::TestFails/sub_one", 1, "failed", "", "got 1, want 2"),
        ("example.com/shop/cart::TestFails", 1, "failed", "", "TestFails failed"),
        ("example.com/shop/cart::TestFlaky", 1, "failed", "", "first try"),
        ("example.com/shop/cart::TestFails/sub_one", 2, "failed", "", "got 1, want 2"),
        ("example.com/shop/cart::TestFails", 2, "failed", "", "TestFails failed"),
        ("example.com/shop/cart::TestFails/sub_one", 3, "failed", "", "got 1, want 2"),
        ("example.com/shop/cart::TestFails", 3, "failed", "", "TestFails failed"),
        ("example.com/shop/cart::TestSkip", 1, "skipped", "", ""),
        ("example.com/shop/cart::TestAdds", 1, "passed", "", ""),
        ("example.com/shop/cart::TestFails/ok", 1, "passed", "", ""),
        ("example.com/shop/cart::TestSlow", 1, "passed", "", ""),
        ("example.com/shop/cart::TestFlaky", 2, "passed", "", ""),
    ],
    "testng_retry.xml": [("CartTest::adds", 1, "skipped", "", ""), ("CartTest::adds", 2, "passed", "", "")],
    "surefire_flaky.xml": [
        ("C::a", 1, "failed", "java.lang.AssertionError", "m"),
        ("C::a", 2, "passed", "", ""),
    ],
    "surefire_flaky_nomsg.xml": [
        ("C::a", 1, "failed", "java.lang.AssertionError", "one"),
        ("C::a", 2, "passed", "", ""),
        ("C::b", 1, "failed", "E", "x"),
        ("C::b", 2, "failed", "java.io.IOException", "two"),
    ],
    "node-todo.xml": [("ok", 1, "passed", "", ""), ("known bug", 1, "xfailed", "Error", "x")],
    "catch2-shouldfail.xml": [
        ("c3.global::ok", 1, "passed", "", ""),
        ("c3.global::known", 1, "xfailed", "REQUIRE", "false"),
    ],
    "skipped_and_failure.xml": [("C::todo", 1, "xfailed", "", "x")],
    "nose2.xml": [
        ("t.A::a", 1, "error", "ValueError", "one"),
        ("t.A::b", 1, "failed", "AssertionError", "two"),
    ],
    "unittest_failed.xml": [("t.py::A::a", 1, "failed", "AssertionError", "failed")],
    "nextest_two_causes.xml": [
        ("shop::cart::adds", 1, "failed", "panic", "called `Option::unwrap()` on a `None` value"),
        ("shop::cart::removes", 1, "failed", "panic", "connection refused"),
    ],
    "jest_timeout.xml": [
        (
            "slow",
            1,
            "timeout",
            "Error",
            "Timeout - Async function did not complete within 5000ms (set by jasmine.DEFAULT_TIMEOUT_INTERVAL)",
        )
    ],
    "pytest_inherited.xml": [("tests/test_child.py::TestA::test_x", 1, "passed", "", "")],
    "mocha_xunit.xml": [
        ("a.test.js::cart adds", 1, "passed", "", ""),
        ("a.test.js::wishlist adds", 1, "failed", "Error", "no"),
    ],
    "gdunit4.xml": [("CartTest::test_adds", 1, "passed", "", "")],
    "py_noclass.xml": [("test_a.py::adds", 1, "passed", "", ""), ("test_a.py::removes", 1, "passed", "", "")],
}

#: File → path → lines that can run, and those that did.
COVERED: dict[str, dict[str, tuple[str, str]]] = {
    "methods_only.xml": {"a.swift": ("1-2", "1")},
    "hits_float.xml": {"a.py": ("1-7", "1,4-5")},
    "paths.xml": {
        "src/a/b.cs": ("1", "1"),
        "src/c.cs": ("1", "1"),
        "src/d.cs": ("1", "1"),
        "src/e.cs": ("1", "1"),
        "../outside/h.cs": ("1", "1"),
        "//server/share/f.cs": ("1", "1"),
        "/builds/cases/covbugs/g.cs": ("1", "1"),
    },
    "ver.info": {"a.c": ("1", "1")},
    "bom.info": {"a.c": ("1", "1")},
}


def test_every_case_is_expected() -> None:
    """A case that is added comes with what it should say."""
    assert {path.name for path in CASES.iterdir()} - {"README.md"} == set(EXPECTED) | set(COVERED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_tests_attempts_outcomes_and_causes(name: str, tmp_path: Path) -> None:
    """Each attempt of each test under the tool's own name, with why it failed."""
    found = []
    for result in results(CASES / name, tmp_path):
        failure = result.failures[0] if result.failures else None
        first = failure.message.partition("\n")[0].partition(" (errors=")[0] if failure else ""
        found.append((result.node_id, result.attempt, str(result.outcome), failure.type if failure else "", first))
    assert found == EXPECTED[name]


@pytest.mark.parametrize("name", sorted(COVERED))
def test_covered_lines(name: str, tmp_path: Path) -> None:
    """Lines and paths in whatever form tools write them."""
    found = coverage(CASES / name, tmp_path)
    assert {path: (file.statements, file.executed) for path, file in found.items()} == COVERED[name]


def test_two_causes_are_two() -> None:
    """What a fingerprint is made of tells them apart, and holds no path of the machine."""
    for name in ("nose2.xml", "nextest_two_causes.xml"):
        failures = [result.failures[0] for result in results(CASES / name)]
        assert len({fingerprint(failure) for failure in failures}) == 2
        assert not any("/x/" in failure.message for failure in failures)


def test_an_attempt_has_its_text_its_output_and_its_files(tmp_path: Path) -> None:
    """Surefire indents the stack trace, and puts the output of each attempt beside it."""
    _, found = records(CASES / "surefire_flaky.xml", tmp_path)
    first, attached, second = (record.data for record in found)
    assert first["failures"][0]["text"] == "java.lang.AssertionError: m\n\tat C.a(C.java:5)"
    assert [one["text"] for one in first["output"]] == ["attempt one"]
    assert (attached["node_id"], attached["attempt"], attached["name"]) == ("C::a", 1, "shot.png")
    assert (second["attempt"], second["duration_s"]) == (2, 1.0)


def test_an_expected_failure_says_why_it_is_expected_and_what_it_was(tmp_path: Path) -> None:
    """The reason is the tool's, the failure goes along."""
    known = results(CASES / "node-todo.xml", tmp_path)[1]
    assert (known.reason, [one.message for one in known.failures]) == ("issue 12", ["x"])


@pytest.fixture
def tokyo() -> Iterator[None]:
    """Let this machine be in Japan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_the_times_of_ant_are_utc(tmp_path: Path) -> None:
    """It writes them without a zone; what is not known to mean that is this machine's."""
    other = written(tmp_path, '<testsuite name="s" timestamp="2026-11-25T23:12:37"><testcase name="t"/></testsuite>')
    assert str(results(other, tmp_path)[0].started_at) == "2026-11-25 14:12:37+00:00"
    first = results(CASES / "TEST-ATest.xml", tmp_path)[0]
    assert first.started_at is not None
    assert first.started_at.isoformat() == "2026-11-25T23:12:37+00:00"
