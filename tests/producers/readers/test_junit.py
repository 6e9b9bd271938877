"""What JUnit XML may hold beyond what the real reports here do."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from testbus_producers.redaction.cleaner import Cleaner
from testbus_producers.report_files import How, ReportFile, junit, read
from testbus_producers.spool import event_builder
from testbus_schemas.fingerprints import Raised, root
from tests.producers.readers.reading import records, results, written

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_attribute_or_the_disk_tells_module_from_class(tmp_path: Path) -> None:
    """`a.b.C` is `a/b.py::C` when there is such a file, whatever it is called."""
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "prices.py").touch()
    text = """<testsuites name="pytest tests"><testsuite name="pytest">
        <testcase classname="checks.prices.Low.Inner" name="test_a"/>
        <testcase classname="checks.gone.Low" name="test_b"/>
        <testcase classname="lib.test_x.test_y.TestZ" name="test_c[a::b]"/>
        <testcase classname="test_top" name="test_d"/>
        </testsuite></testsuites>"""
    assert [one.node_id for one in results(written(tmp_path, text), tmp_path)] == [
        "checks/prices.py::Low::Inner::test_a",
        "checks.gone.Low::test_b",
        "lib/test_x/test_y.py::TestZ::test_c[a::b]",
        "test_top.py::test_d",
    ]


def test_a_test_without_a_class_is_named_by_its_suites(tmp_path: Path) -> None:
    """Nested suites are all there is to tell two tests of one name apart."""
    text = """<testsuites><testsuite name="outer"><testsuite name="inner"><testcase name="t"/></testsuite>
        <testcase name="t"/></testsuite><testcase name="t"/><testcase/></testsuites>"""
    found = [one.node_id for one in results(written(tmp_path, text), tmp_path)]
    assert found == ["outer > inner::t", "outer::t", "t", "(no name)"]


def test_tests_of_one_name_are_numbered(tmp_path: Path) -> None:
    """Parameters without ids: the first keeps the name."""
    cases = '<testcase classname="c" name="t"/>' * 3
    text = f"<testsuite name='s'>{cases}</testsuite>"
    assert [one.node_id for one in results(written(tmp_path, text), tmp_path)] == ["c::t", "c::t#2", "c::t#3"]


def test_errors_of_flaky_tests_are_attempts(tmp_path: Path) -> None:
    """Gradle and nextest tell them as Surefire does: the last attempt is the one that counts."""
    text = """<testsuite name="s"><testcase classname="c" name="t" time="2">
        <flakyError type="E" message="one" time="1"/><flakyFailure type="F" message="two"/></testcase></testsuite>"""
    found = results(written(tmp_path, text), tmp_path)
    assert [(one.attempt, str(one.outcome), one.duration_s) for one in found] == [
        (1, "error", 1.0),
        (2, "failed", 0.0),
        (3, "passed", 2.0),
    ]


def test_attachments_are_told_and_leave_the_output(tmp_path: Path) -> None:
    """The convention of Jenkins and GitLab."""
    text = """<testsuite name="s"><testcase classname="c" name="t"><failure/>
        <system-out>before\n[[ATTACHMENT|shots/one.png]]\nafter</system-out></testcase></testsuite>"""
    _, found = records(written(tmp_path, text), tmp_path)
    assert [one.data for one in found if one.kind == event_builder.ARTIFACT] == [
        {"node_id": "c::t", "attempt": 1, "name": "one.png", "media_type": "image/png", "path": "shots/one.png"}
    ]
    assert found[0].data["output"][0]["text"] == "before\nafter"


def test_the_properties_of_a_suite_stay_where_they_are(tmp_path: Path) -> None:
    """Java tools put the whole environment there."""
    text = """<testsuite name="s"><properties><property name="env.TOKEN" value="abcdef123456"/></properties>
        <testcase classname="c" name="t"><properties><property name="password" value="hunter22"/></properties>
        </testcase>
        </testsuite>"""
    (result,) = results(written(tmp_path, text), tmp_path)
    assert "abcdef123456" not in result.model_dump_json()
    assert [(one.name, one.args) for one in result.markers] == [("password", ("[redacted]",))]


def test_several_failures_of_one_test_are_kept_up_to_a_bound(tmp_path: Path) -> None:
    """A thousand soft assertions are ten failures."""
    failures = '<failure message="m"/>' * 1000
    text = f"<testsuite name='s'><testcase classname='c' name='t'>{failures}</testcase></testsuite>"
    (result,) = results(written(tmp_path, text), tmp_path)
    assert len(result.failures) == 10


def test_a_report_without_tests_is_a_report(tmp_path: Path) -> None:
    """Whether no tests are enough is for the gates to say."""
    assert results(written(tmp_path, "<testsuites/>"), tmp_path) == []


@pytest.mark.parametrize(
    ("text", "thousands", "expected"),
    [
        ("0.5", False, 0.5),
        ("1,234.5", False, 1234.5),
        ("1.234,5", False, 1234.5),
        ("1,234,567", False, 1234567.0),
        ("1,234", True, 1234.0),
        ("0,25", False, 0.25),
        ("12s", False, 12.0),
        ("1e-3", False, 0.001),
        ("", False, 0.0),
        (None, False, 0.0),
        ("-1", False, 0.0),
        ("NaN", False, 0.0),
        ("inf", False, 0.0),
        ("soon", False, 0.0),
        ("1:02:03", False, 3723.0),
        ("00:00:01.5", False, 1.5),
        ("02:03", False, 123.0),
        ("1.02:03:04,5", False, 93784.5),
        ("PT1H2M3.5S", False, 3723.5),
        ("PT0,25S", False, 0.25),
        ("P1DT1S", False, 86401.0),
        ("12ms", False, 0.012),
        ("250 ms", False, 0.25),
        ("1m2.5s", False, 62.5),
        ("2 min 3 s", False, 123.0),
        ("5µs", False, 0.000005),
        ("PT", False, 0.0),
        ("PT99999999999999999999S", False, 0.0),
        ("1e300", False, 0.0),
        ("3 parsecs", False, 0.0),
    ],
)
def test_durations_are_read_as_they_are_meant(text: str | None, thousands: bool, expected: float) -> None:  # noqa: FBT001 a case of the table
    """Separators of thousands, decimal commas, and nonsense, which is no time at all."""
    assert junit.seconds(text, thousands=thousands) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T13:01:11Z", 1795179671.0),
        ("2026-11-20T14:01:11+01:00", 1795179671.0),
        ("2026-11-20T13:01:11", 1795179671.0),
        ("2026-11-20 13:01:11.5", 1795179671.5),
        ("1970-01-01T00:00:00.000", None),
        ("0001-01-01T00:00:00", None),
        ("yesterday", None),
        ("Fri, 20 Nov 2026 13:01:11 GMT", 1795179671.0),
        ("20 Nov 2026 14:01:11 +0100", 1795179671.0),
        ("Fri, 31 Nov 2026 13:01:11 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_instants_are_read_with_or_without_a_zone(text: str | None, expected: float | None) -> None:
    """Of one without a zone the caller knows it."""
    assert junit.moment(text, zone=UTC) == expected


def entries(path: Path) -> list[str]:
    """Return every attempt as `name attempt outcome`."""
    return [f"{one.node_id} {one.attempt} {one.outcome}" for one in results(path, path.parent)]


def suite(cases: str, tool: str = "go", **counts: str) -> str:
    """Return a report of Go's tests, or of pytest's, or of no tool's."""
    totals = "".join(f' {name}="{count}"' for name, count in counts.items())
    if tool == "pytest":
        return f'<testsuites name="pytest tests"><testsuite name="pytest"{totals}>{cases}</testsuite></testsuites>'
    properties = '<properties><property name="go.version"/></properties>' if tool == "go" else ""
    return f'<testsuites><testsuite name="p"{totals}>{properties}{cases}</testsuite></testsuites>'


def case(name: str, *inside: str) -> str:
    """Return an entry of a test, with the elements inside of it."""
    return f'<testcase classname="t" name="{name}">{"".join(f"<{tag}/>" for tag in inside)}</testcase>'


FAILED, SKIPPED = "failure", "skipped"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            # What passed twice was not tried again: -count=2, and each entry is a test.
            suite(case("A", FAILED) + case("B") + case("A") + case("B")),
            ["p::A 1 failed", "p::B 1 passed", "p::A#2 1 passed", "p::B#2 1 passed"],
        ),
        (
            # A subtest that passed runs again with the one around it (--rerun-fails-run-root-test).
            suite(case("A", FAILED) + case("A/x") + case("A/y", FAILED) + case("A") + case("A/x") + case("A/y")),
            [
                "p::A 1 failed",
                "p::A/x 1 passed",
                "p::A/y 1 failed",
                "p::A 2 passed",
                "p::A/x 2 passed",
                "p::A/y 2 passed",
            ],
        ),
        (
            # A skip makes no failure good.
            suite(case("A", FAILED) + case("A", SKIPPED)),
            ["p::A 1 failed", "p::A#2 1 skipped"],
        ),
        (
            # Several skipped tests of one name, and one that was tried again between two others.
            suite(case("A", SKIPPED) + case("A", SKIPPED), tool=""),
            ["t::A 1 skipped", "t::A#2 1 skipped"],
        ),
        (
            suite(case("A", SKIPPED) + case("A", SKIPPED) + case("A") + case("A", FAILED), tool=""),
            ["t::A 1 skipped", "t::A 2 skipped", "t::A 3 passed", "t::A#2 1 failed"],
        ),
        (
            # pytest counts what ran once: `--keep-duplicates`, `--dist each`, items that a plugin doubled.
            suite(case("a") + case("a"), tool="pytest", tests="2", failures="0"),
            ["t::a 1 passed", "t::a#2 1 passed"],
        ),
        (
            suite(case("a", FAILED) + case("a"), tool="pytest", tests="2", failures="1"),
            ["t::a 1 failed", "t::a#2 1 passed"],
        ),
        (
            # Workers of xdist in parallel: the attempts of two tests between each other.
            suite(case("a") + case("b") + case("a") + case("b", FAILED), tool="pytest", tests="2", failures="1"),
            ["t::a 1 failed", "t::b 1 failed", "t::a 2 passed", "t::b 2 failed"],
        ),
        (
            suite(case("a") + case("a", SKIPPED), tool="pytest", tests="1", failures="0"),
            ["t::a 1 failed", "t::a 2 skipped"],
        ),
    ],
)
def test_repeated_entries_are_attempts_or_tests(tmp_path: Path, text: str, expected: list[str]) -> None:
    """Attempts where names are unique by nature, and nothing says that the tests ran several times."""
    assert entries(written(tmp_path, text)) == expected


def test_a_failed_teardown_of_a_test_that_was_tried_again(tmp_path: Path) -> None:
    """Its second entry is no attempt, and no repetition either."""
    text = suite(
        case("a")
        + case("a", FAILED)
        + '<testcase classname="t" name="a"><error message=\'failed on teardown with "OSError: '
        "jammed\"'/></testcase>",
        tool="pytest",
        tests="1",
        failures="1",
        errors="1",
    )
    assert entries(written(tmp_path, text)) == ["t::a 1 failed", "t::a 2 failed"]
    assert [one.phase for one in results(written(tmp_path, text), tmp_path)[1].failures] == ["call", "teardown"]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("failed", "failed"),
        ("FAIL", "failed"),
        ("Broken", "failed"),
        ("KO", "failed"),
        ("xpassed", "failed"),
        ("error", "error"),
        ("crashed", "error"),
        ("aborted", "error"),
        ("timedout", "timeout"),
        ("timed out", "timeout"),
        ("Timeout", "timeout"),
        ("incomplete", "error"),
        ("notrun", "skipped"),
        ("Ignored", "skipped"),
        ("pending", "skipped"),
        ("NotExecuted", "skipped"),
        ("run", "passed"),
        ("passed", "passed"),
        ("success", "passed"),
        ("0", "passed"),
    ],
)
def test_a_state_alone_says_how_a_test_ended(tmp_path: Path, state: str, outcome: str) -> None:
    """As an attribute, `status` or `result`."""
    for name in ("status", "result"):
        text = f'<testsuite name="s"><testcase classname="c" name="t" {name}="{state}"/></testsuite>'
        assert entries(written(tmp_path, text)) == [f"c::t 1 {outcome}"]


def test_each_failure_that_only_totals_know_is_a_result(tmp_path: Path) -> None:
    """As many as they say, in the suite that says so, up to a bound; what is shown deeper down is not said again."""
    text = """<testsuites failures="4" errors="1"><testsuite name="a" failures="2"><testcase classname="c" name="t">
        <failure/></testcase></testsuite><testsuite name="b" errors="2"><testsuite name="in" errors="1"/></testsuite>
        </testsuites>"""
    found = entries(written(tmp_path, text))
    assert found == ["c::t 1 failed", "a 1 error", "b > in 1 error", "b 1 error", "junit.xml 1 error"]
    many = '<testsuite name="s" errors="123456789"/>'
    assert len(entries(written(tmp_path, many))) == 1000


def test_failures_that_totals_count_as_errors_too_are_shown(tmp_path: Path) -> None:
    """Once as each, by tools that know no difference."""
    text = (
        '<testsuite name="s" errors="1" failures="1"><testcase classname="c" name="t"><failure/></testcase></testsuite>'
    )
    assert entries(written(tmp_path, text)) == ["c::t 1 failed"]


@pytest.mark.parametrize("totals", ['errors="-1"', 'errors="1.0"', 'failures="many"', 'failures=""', 'tests="5"'])
def test_totals_that_say_nothing_clear_are_no_failures(tmp_path: Path, totals: str) -> None:
    """Fewer tests than were counted may be anything; tools count differently."""
    text = f'<testsuite name="s" {totals}><testcase classname="c" name="t"/></testsuite>'
    assert entries(written(tmp_path, text)) == ["c::t 1 passed"]


def test_a_test_that_would_begin_after_all_time_has_no_beginning(tmp_path: Path) -> None:
    """A suite at the end of the calendar, and a test of a year before it."""
    cases = '<testcase name="a" time="31536000"/><testcase name="b"/>'
    found = results(
        written(tmp_path, f'<testsuite name="s" timestamp="9997-06-01T00:00:00">{cases}</testsuite>'), tmp_path
    )
    assert [one.started_at is None for one in found] == [False, True]


def test_a_zone_that_is_set_is_that_of_times_without_one(tmp_path: Path) -> None:
    """Else it is UTC for the tools that mean it, and this machine's for the others."""
    cases = '<testcase classname="c" name="t"/><testcase classname="c" name="u" timestamp="2026-11-20T13:00:00Z"/>'
    path = written(tmp_path, f'<testsuite name="s" timestamp="2026-11-20T13:00:00">{cases}</testsuite>')
    clean = Cleaner()
    how = How(root=tmp_path, clean=clean, redact=clean.redact, zone=ZoneInfo("Asia/Tokyo"))
    moments = [record.data["started_at"] for record in read(how, ReportFile(path=path))]
    assert moments == ["2026-11-20T04:00:00.000000Z", "2026-11-20T13:00:00.000000Z"]


JAVA = """org.junit.ComparisonFailure: page
\tat shop.PageTest.open(PageTest.java:9)
\tSuppressed: java.io.IOException: closing
\t\tat shop.Page.close(Page.java:3)
\tCaused by: java.lang.Error: of what was suppressed
Caused by: shop.OrderException: order 4
\tat shop.Orders.take(Orders.java:7)
\t... 12 more
Caused by: java.net.ConnectException: no bank
(at the second try)
\tat shop.Bank.pay(Bank.java:31)
\t... 13 more"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (JAVA, Raised("java.net.ConnectException", "no bank\n(at the second try)")),
        (
            "a.ATimeout: not there\n\tat x.Y\nCaused by: java.util.concurrent.TimeoutException\n\tat x.Z",
            Raised("T", "m"),
        ),
        ("a.AError: b\nCaused by: java.lang.NullPointerException: null\n\tat x.Z", Raised("T", "m")),
        (
            "Shop.PageException : page\n---- Shop.BankException : no bank\n   at Shop.Page.Open()",
            Raised("Shop.BankException", "no bank"),
        ),
        (
            "Shop.PageException: page\n ---> Shop.BankException: no bank\n   at Shop.Page.Open()",
            Raised("Shop.BankException", "no bank"),
        ),
        (
            "Error: page\n    at open (page.js:3:1)\nCaused by: TypeError: no bank\n    at pay (bank.js:1:1)",
            Raised("TypeError", "no bank"),
        ),
        ("----- output -----\nCaused by: nothing that has a type", Raised("T", "m")),
    ],
    ids=["java", "a wait", "null", "xunit.net", "dotnet", "vitest", "no cause"],
)
def test_what_an_exception_was_raised_from_is_looked_into(tmp_path: Path, text: str, expected: Raised) -> None:
    """One cause is one cause, whatever wrapped it; but what says nothing is none."""
    failure = f'<failure type="T" message="m"><![CDATA[{text}]]></failure>'
    path = written(tmp_path, f'<testsuite><testcase name="t">{failure}</testcase></testsuite>')
    assert root(results(path, tmp_path)[0].failures[0]) == expected
