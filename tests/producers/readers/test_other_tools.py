"""Names, outcomes and causes of tools of which no real report is here: their forms, as their sources write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.producers.readers.reading import records, results, written

if TYPE_CHECKING:
    from pathlib import Path

ROS = """<testsuite errors="0" failures="2" name="nav.test_cart" tests="3">
<testcase classname="nav.test_cart" name="adds"><failure type="AssertionError">Traceback (most recent call last):
  File "/usr/lib/python3.8/unittest/case.py", line 60, in testPartExecutor
    yield
  File "/home/ci/ws/test_cart.py", line 9, in test_adds
    self.assertEqual(1, 2, "wrong total")
AssertionError: 1 != 2 : wrong total
</failure></testcase>
<testcase classname="nav" name="cart.missing_result"><failure message="The test did not generate a result file:"
><![CDATA[terminate called after throwing 'std::bad_alloc'
]]></failure></testcase>
<testcase classname="rostest" name="nav"><failure type="">Test max time exceeded: max time [60.0s] allotted for test x
</failure></testcase></testsuite>"""

NEXTEST = """<testsuites name="nextest-run" tests="6" failures="5" uuid="x"><testsuite name="shop::bin">
<testcase name="t::adds" classname="shop::bin"><failure message="thread 't::adds' (71) panicked at src/lib.rs:5:9"
type="test failure with exit code 101">thread 't::adds' (71) panicked at src/lib.rs:5:9:
assertion `left == right` failed: totals
  left: 1
 right: 2
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
</failure></testcase>
<testcase name="t::slow" classname="shop::bin"><failure type="test timeout"/></testcase>
<testcase name="t::old" classname="shop::bin"><failure type="test failure"
>thread 't::old' panicked at 'no cart', src/a.rs:5:9
note: run with `RUST_BACKTRACE=1`</failure></testcase>
<testcase name="t::err" classname="shop::bin"><failure type="test failure with exit code 1"
message="Error: ParseIntError { kind: InvalidDigit }">Error: ParseIntError { kind: InvalidDigit }</failure></testcase>
<testcase name="t::seg" classname="shop::bin"><failure message="process aborted with signal 11" type="test abort"/>
</testcase>
<testcase name="t::flaky" classname="shop::bin"><flakyFailure type="test failure" time="0.5"
timestamp="2024-01-09T07:50:12+00:00">thread 't::flaky' panicked at src/a.rs:1:1:
boom<system-out>hey</system-out></flakyFailure></testcase></testsuite></testsuites>"""

JASMINE = """<testsuites><testsuite name="cart" timestamp="2024-01-01T10:00:00" hostname="localhost" disabled="0">
<testcase classname="cart" name="adds"><failure type="exception" message="Expected 1 to be 2."
><![CDATA[Error: Expected 1 to be 2.
    at <Jasmine>]]></failure></testcase>
<testcase classname="cart" name="hangs"><failure type="exception" message="Error: Timeout - Async function did not
complete within 50ms (set by jasmine.DEFAULT_TIMEOUT_INTERVAL)">x</failure></testcase></testsuite>
<testsuite name="test" timestamp="2024-01-01T10:00:00" hostname="localhost" disabled="0">
<testcase classname="test" name="adds"/></testsuite></testsuites>"""

KARMA = """<testsuites><testsuite name="Chrome Headless 120.0.6099.109 (Linux x86_64)" id="0" hostname="runner">
<properties><property name="browser.fullName" value="Mozilla"/></properties>
<testcase name="cart adds" classname="Chrome_Headless_120_0_6099_109_(Linux_x86_64).cart">
<failure type="">Error: Expected 1 to be 2.
    at x</failure></testcase></testsuite></testsuites>"""

JEST = """<testsuites name="jest tests">
<testsuite name="src/cart.test.js"><testcase classname="cart adds" name="cart adds"/></testsuite>
<testsuite name="src/till.test.js"><testcase classname="cart adds" name="cart adds"/></testsuite>
<testsuite name="x"><testcase classname="src/pay.test.tsx" name="adds"/></testsuite>
<testsuite name="/ci/x/abs.test.js"><testcase classname="a" name="b"/></testsuite></testsuites>"""

QT_6 = """<testsuite name="TestCart" tests="4" failures="3"><properties><property name="QTestVersion" value="6.5"/>
</properties><testcase name="adds" classname="TestCart"><failure type="fail" message="Compared values are not the same"
><![CDATA[   Actual   (total()): 1
   Expected (2)      : 2]]></failure></testcase>
<testcase name="pays(visa)" classname="TestCart"><failure type="xpass" message="TODO"/></testcase>
<testcase name="hangs" classname="TestCart"><failure type="fail" message="Test function timed out"/></testcase>
<testcase name="known" classname="TestCart"><skipped message="not yet"/></testcase></testsuite>"""

QT_5 = """<testsuite errors="0" failures="2" tests="3" name="TestCart"><testcase result="pass" name="init"/>
<testcase result="fail" name="adds"><failure message="'cart.ok()' returned FALSE. ()" result="fail"/></testcase>
<testcase result="fail" name="bare"/></testsuite>"""

NODE_FILE = """<testsuites><testcase name="{root}/a/todo.test.mjs" classname="test" failure="test failed">
<failure type="testCodeFailure" message="test failed">
[Error [ERR_TEST_FAILURE]: test failed] {{
  failureType: 'testCodeFailure',
  cause: 'test failed',
  exitCode: 1,
  signal: null
}}</failure></testcase><testcase name="/elsewhere/b.test.cjs" classname="test" failure="test failed">
<failure type="testCodeFailure" message="test failed">[Error [ERR_TEST_FAILURE]: test failed] {{
  exitCode: null,
  signal: 'SIGKILL'
}}</failure></testcase></testsuites>"""

PYTHON = """<testsuite name="nose2-junit">
<testcase classname="t.A" name="grouped"><error message="test failure"
>  + Exception Group Traceback (most recent call last):
  |   File "/x/t.py", line 2, in a
  | ExceptionGroup: several (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/x/t.py", line 1, in b
    | ValueError: one
    +------------------------------------
</error></testcase>
<testcase classname="t.A" name="chained"><error message="">Traceback (most recent call last):
  File "/x/t.py", line 2, in a
KeyError: 'k'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/x/t.py", line 4, in a
    raise RuntimeError("while")
shop.errors.TillError: while
counting
Stdout:
hello
</error></testcase>
<testcase classname="t.A" name="bare"><failure message="test failure">Traceback (most recent call last):
  File "/x/t.py", line 4, in a
    assert x
AssertionError
</failure></testcase></testsuite>"""

#: What it is → report, and each attempt: node id, outcome, and of its failure type and first line of the message.
FORMS = {
    "ros": (
        ROS,
        [
            ("nav.test_cart::adds", "failed", "AssertionError", "1 != 2 : wrong total"),
            (
                "nav::cart.missing_result",
                "failed",
                "",
                "The test did not generate a result file: terminate called after throwing 'std::bad_alloc'",
            ),
            (
                "rostest::nav",
                "timeout",
                "",
                "Test max time exceeded: max time [60.0s] allotted for test x",
            ),
        ],
    ),
    "nextest": (
        NEXTEST,
        [
            ("shop::bin::t::adds", "failed", "panic", "assertion `left == right` failed: totals"),
            ("shop::bin::t::slow", "timeout", "test timeout", "t::slow failed"),
            ("shop::bin::t::old", "failed", "panic", "no cart"),
            ("shop::bin::t::err", "failed", "Error", "ParseIntError { kind: InvalidDigit }"),
            ("shop::bin::t::seg", "failed", "", "process aborted with signal 11"),
            ("shop::bin::t::flaky", "failed", "panic", "boom"),
            ("shop::bin::t::flaky", "passed", "", ""),
        ],
    ),
    "jasmine": (
        JASMINE,
        [
            ("cart::adds", "failed", "Error", "Expected 1 to be 2."),
            (
                "cart::hangs",
                "timeout",
                "Error",
                "Timeout - Async function did not complete within 50ms (set by jasmine.DEFAULT_TIMEOUT_INTERVAL)",
            ),
            ("test::adds", "passed", "", ""),
        ],
    ),
    "karma": (KARMA, [("[Chrome Headless] cart adds", "failed", "Error", "Expected 1 to be 2.")]),
    "jest with paths": (
        JEST,
        [
            ("src/cart.test.js::cart adds", "passed", "", ""),
            ("src/till.test.js::cart adds", "passed", "", ""),
            ("src/pay.test.tsx::adds", "passed", "", ""),
            ("abs.test.js::a b", "passed", "", ""),
        ],
    ),
    "qttest 6": (
        QT_6,
        [
            (
                "TestCart::adds",
                "failed",
                "",
                "Compared values are not the same Actual (total()): 1 Expected (2) : 2",
            ),
            ("TestCart::pays(visa)", "failed", "xpass", "TODO"),
            ("TestCart::hangs", "timeout", "", "Test function timed out"),
            ("TestCart::known", "skipped", "", ""),
        ],
    ),
    "qttest 5": (
        QT_5,
        [
            ("TestCart::init", "passed", "", ""),
            ("TestCart::adds", "failed", "", "'cart.ok()' returned FALSE. ()"),
            ("TestCart::bare", "failed", "", "the report says 'fail', and no more"),
        ],
    ),
    "files of node": (
        NODE_FILE,
        [
            ("a/todo.test.mjs", "failed", "", "exit code 1"),
            ("b.test.cjs", "failed", "", "ended by SIGKILL"),
        ],
    ),
    "tracebacks": (
        PYTHON,
        [
            ("t.A::grouped", "error", "ExceptionGroup", "several (1 sub-exception)"),
            ("t.A::chained", "error", "shop.errors.TillError", "while"),
            ("t.A::bare", "failed", "AssertionError", ""),
        ],
    ),
    "xpass of pytest beside a repeated name": (
        (
            "<testsuites name='pytest tests'><testsuite name='shop' errors='0' failures='1' skipped='0' tests='2'>"
            "<testcase classname='test_t' name='test_a'><failure message='[XPASS(strict)] known'/></testcase>"
            "<testcase classname='test_t' name='test_a'/></testsuite></testsuites>"
        ),
        [
            ("test_t.py::test_a", "failed", "XPASS(strict)", "[XPASS(strict)] known"),
            ("test_t.py::test_a#2", "passed", "", ""),
        ],
    ),
    "a path without a class": (
        (
            "<testsuites><testsuite name='t'><testcase name='it adds' file='{root}/spec/a.py'/>"
            "<testcase name='a' file='spec/a.py'/></testsuite></testsuites>"
        ),
        [("spec/a.py::it adds", "passed", "", ""), ("spec/a.py::a", "passed", "", "")],
    ),
    "inherited by a nested class": (
        (
            "<testsuites name='pytest tests'><testsuite name='pytest'>"
            "<testcase classname='a.test_child.TestA.TestIn' name='test_x' file='lib/base.py'/>"
            "<testcase classname='test_top.TestA' name='test_x' file='base.py'/></testsuite></testsuites>"
        ),
        [
            ("a/test_child.py::TestA::TestIn::test_x", "passed", "", ""),
            ("test_top.py::TestA::test_x", "passed", "", ""),
        ],
    ),
}

#: Reports that only look a little like those of a tool: the one sign → report, and the names of its tests.
WEAK_SIGNS = {
    "node: a class called test": (
        (
            "<testsuites><testsuite name='cart' tests='1'><testcase classname='test' name='adds' time='1'/></testsuite>"
            "<testsuite name='till' tests='1'><testcase classname='test' name='adds'/></testsuite></testsuites>"
        ),
        ["cart::adds", "till::adds"],
    ),
    "pytest: a suite called pytest": (
        "<testsuites><testsuite name='pytest'><testcase classname='test_a.Cart' name='adds'/></testsuite></testsuites>",
        ["test_a.Cart::adds"],
    ),
    "playwright: an id": (
        (
            "<testsuites id='4'><testsuite name='Cart' hostname='h'>"
            "<testcase classname='Cart' name='adds'/></testsuite></testsuites>"
        ),
        ["Cart::adds"],
    ),
    "googletest: a result": (
        "<testsuite name='Cart'><testcase name='adds' result='completed'/></testsuite>",
        ["Cart::adds"],
    ),
    "ctest: a status": (
        "<testsuites><testsuite><testcase name='adds' classname='adds' status='run'/></testsuite></testsuites>",
        ["adds"],
    ),
    "gradle: the order of attributes": (
        (
            "<testsuite name='C' tests='2' skipped='0' failures='1' errors='0' timestamp='' hostname='h' time='0'>"
            "<testcase classname='C' name='a'><failure/></testcase><testcase classname='C' name='a'/></testsuite>"
        ),
        ["C::a", "C::a#2"],
    ),
    "xcode: the name of the whole": (
        (
            "<testsuites name='All tests'><testsuite name='C'><testcase classname='C' name='a'><failure/></testcase>"
            "<testcase classname='C' name='a'/></testsuite></testsuites>"
        ),
        ["C::a", "C::a#2"],
    ),
}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_names_outcomes_and_causes(form: str, tmp_path: Path) -> None:
    """Under the tool's own names, with what tells one cause from another."""
    text, expected = FORMS[form]
    found = []
    for result in results(written(tmp_path, text.replace("{root}", str(tmp_path)).replace("{{", "{")), tmp_path):
        kind, message = (result.failures[0].type, result.failures[0].message) if result.failures else ("", "")
        found.append((result.node_id, str(result.outcome), kind, message.partition("\n")[0]))
    assert found == expected


@pytest.mark.parametrize("sign", sorted(WEAK_SIGNS))
def test_one_weak_sign_makes_no_tool(sign: str, tmp_path: Path) -> None:
    """Anybody may call a suite or a class as a tool does."""
    text, expected = WEAK_SIGNS[sign]
    path = written(tmp_path, text)
    assert [one.node_id for one in results(path, tmp_path)] == expected
    assert records(path, tmp_path)[0].tool == "junit"


def test_an_attempt_inside_of_another_has_its_own_times_and_output(tmp_path: Path) -> None:
    """Nextest says when each began and how long it took."""
    flaky = results(written(tmp_path, NEXTEST), tmp_path)[5]
    assert flaky.started_at is not None
    assert (flaky.started_at.isoformat(), flaky.duration_s) == ("2024-01-09T07:50:12+00:00", 0.5)
    assert [one.text for one in flaky.output] == ["hey"]
