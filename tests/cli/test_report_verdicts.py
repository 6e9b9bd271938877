"""What report files make of a run's verdict: through readers, event log, `runs` and `gates`, in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbus.main import run_command
from testbus_consumers import settings
from testbus_consumers.embedded import EmbeddedBus

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

    Verdict = Callable[..., dict[str, Any]]

CASES = Path(__file__).parents[1] / "producers" / "readers" / "cases"

#: Seconds that a home may take to be drained.
PATIENCE_S = 60.0

GREEN = '<testcase classname="C" name="a"/>'

#: Reports of which something is wrong that no test of theirs says.
NEVER_GREEN = {
    "a class that Ant cannot load": (CASES / "TEST-NoSuchTest.xml").read_text("utf-8"),
    "an error of one suite of several": (CASES / "suite_error.xml").read_text("utf-8"),
    "a failure beside green tests": f"<testsuite name='s'>{GREEN}<failure message='no setup'/></testsuite>",
    "an error of the whole": f"<testsuites><error message='no session'/><testsuite>{GREEN}</testsuite></testsuites>",
    "a package that gotestsum cannot compile": (CASES / "gotestsum-build-failed.xml").read_text("utf-8"),
    "totals of the whole": (CASES / "root_errors.xml").read_text("utf-8"),
    "totals of a suite inside": f"<testsuites><testsuite name='s'><testsuite name='t' failures='2'>{GREEN}</testsuite>"
    "</testsuite></testsuites>",
    "a browser that karma lost": f"<testsuite name='Chrome' tests='1' errors='1' failures='0'>{GREEN}</testsuite>",
    "a file that jest-junit could not run": "<testsuites name='jest tests' tests='1' failures='0' errors='1'>"
    f"<testsuite name='s'>{GREEN}</testsuite><testsuite name='t' errors='1' failures='0' tests='0'/></testsuites>",
    "status": '<testsuite name="s"><testcase classname="C" name="a" status="failed"/></testsuite>',
    "result": '<testsuite name="s"><testcase classname="C" name="a" result="Fail"/></testsuite>',
    "success": '<testsuite name="s"><testcase classname="C" name="a" success="false"/></testsuite>',
    "a state of its own": '<testsuite name="s"><testcase classname="C" name="a" status="timedout"/></testsuite>',
    "a skip that the totals count as a failure": '<testsuite name="s" failures="1"><testcase classname="C" name="a">'
    '<skipped/><failure message="x"/></testcase></testsuite>',
    "repeated tests of Go that failed once": '<testsuites><testsuite name="p"><properties><property name="go.version"/>'
    '</properties><testcase name="T"><failure/></testcase><testcase name="T"/><testcase name="U"/>'
    '<testcase name="U"/></testsuite></testsuites>',
    "a warning of PHPUnit": '<testsuite name="s" errors="0" failures="0" warnings="1"><testcase name="Warning"'
    ' class="CartTest" assertions="0"><warning type="PHPUnit\\Framework\\Warning">No tests found in class "CartTest".'
    "</warning></testcase></testsuite>",
    "parameters without ids": '<testsuite name="s"><testcase classname="C" name="a"><failure/></testcase>'
    '<testcase classname="C" name="a"/></testsuite>',
}

#: Reports whose tool is content, though not every entry passed.
GREEN_AFTER_ALL = {
    "xfailed by Node": (CASES / "node-todo.xml").read_text("utf-8"),
    "xfailed by Catch2": (CASES / "catch2-shouldfail.xml").read_text("utf-8"),
    "skipped and failed": (CASES / "skipped_and_failure.xml").read_text("utf-8"),
    "tried again by TestNG": (CASES / "testng_retry.xml").read_text("utf-8"),
    "flaky in Surefire": (CASES / "surefire_flaky.xml").read_text("utf-8"),
    "totals that count every attempt": "<testsuite name='C' tests='1' failures='2'><testcase classname='C' name='a'>"
    "<flakyFailure message='1'/><flakyFailure message='2'/></testcase></testsuite>",
    "tried again by Gradle": '<testsuite name="C" tests="2" skipped="0" failures="1" errors="0"'
    ' timestamp="2026-11-25T10:00:00" hostname="h" time="0.1"><properties/><testcase name="a()" classname="C"'
    ' time="0.1"><failure message="no" type="E">no</failure></testcase><testcase name="a()" classname="C" time="0.1"/>'
    "</testsuite>",
    "tried again by Xcode": '<testsuites name="ShopTests.xctest"><testsuite name="Cart"><testcase classname="Cart"'
    ' name="testAdds"><failure message="no"/></testcase><testcase classname="Cart" name="testAdds"/></testsuite>'
    "</testsuites>",
    "tried again by Xcode, as trainer writes it": '<testsuites tests="2" failures="1"><testsuite name="ShopTests">'
    '<testcase classname="CartTests" name="testAdds()"><failure message="no"/></testcase>'
    '<testcase classname="CartTests" name="testAdds()"/></testsuite></testsuites>',
    "tried again, as its attribute says": '<testsuite name="s"><testcase classname="C" name="a"><failure/></testcase>'
    '<testcase classname="C" name="a" retry="1"/></testsuite>',
}


@pytest.fixture
def verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verdict:
    """Publish report files, each call as parts of one run, and return the verdict."""
    for name in [name for name in os.environ if name.startswith(("TESTBUS_", "GITHUB_", "GITLAB_", "CI"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TESTBUS_URL", f"file://{tmp_path}/.testbus")
    monkeypatch.setenv("TESTBUS_PROJECT", "shop")
    monkeypatch.setenv("TESTBUS_RUN_ID", "r1")
    monkeypatch.chdir(tmp_path)

    def call(*calls: tuple[str, ...], run: str = "r1") -> dict[str, Any]:
        for arguments in calls:
            assert run_command(["publish", *arguments]) == 0, capsys.readouterr().err
        with EmbeddedBus(settings.load(), tmp_path / ".testbus") as bus:
            assert bus.drain(PATIENCE_S)
        capsys.readouterr()
        run_command(["verdict", run, "--timeout", "5", "--json"])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)["evaluation"]
        return found

    return call


def verdicts(reports: dict[str, str], verdict: Verdict, folder: Path) -> dict[str, str]:
    """Return the verdict on each report, a run of its own; they are published first, and judged together."""
    calls = []
    for name, text in reports.items():
        path = folder / f"{name}.xml"
        path.write_text(text, encoding="utf-8")
        calls.append((path.name, "--run", name))
    first, *others = reports
    found = {first: str(verdict(*calls, run=first)["verdict"])}
    return found | {name: str(verdict(run=name)["verdict"]) for name in others}


def test_a_report_in_which_something_failed_is_never_passed(verdict: Verdict, tmp_path: Path) -> None:
    """Whether a test says it, its suite, or only the totals."""
    assert verdicts(NEVER_GREEN, verdict, tmp_path) == dict.fromkeys(NEVER_GREEN, "failed")


def test_a_report_with_which_its_tool_is_content_passes(verdict: Verdict, tmp_path: Path) -> None:
    """A failure that was expected, or that another attempt made good."""
    assert verdicts(GREEN_AFTER_ALL, verdict, tmp_path) == dict.fromkeys(GREEN_AFTER_ALL, "passed")


def test_repeated_tests_of_pytest_are_half_the_tests(verdict: Verdict) -> None:
    """Five entries of two tests, one of which never passed."""
    found = verdict((str(CASES / "pytest-rerunfailures.xml"),))
    assert (found["total"], found["counts"]) == (2, {"failed": 1, "passed": 1})


def test_foreign_files_that_a_glob_means_cost_nothing(
    verdict: Verdict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is passed over with a line, and the run is complete."""
    (tmp_path / "TEST-a.xml").write_text(f"<testsuite name='s'>{GREEN}</testsuite>", encoding="utf-8")
    foreign = {
        "checkstyle.xml": "<checkstyle version='8'><file name='a'><error line='1'/></file></checkstyle>",
        "failsafe-summary.xml": "<failsafe-summary result='0'><errors>0</errors></failsafe-summary>",
        "jacoco.xml": "<!DOCTYPE report PUBLIC '-//JACOCO//DTD Report 1.1//EN' 'report.dtd'><report name='shop'/>",
        "clover.xml": "<coverage generated='1' clover='4.4'><project/></coverage>",
        "sonar.xml": "<coverage version='1'><file path='a.c'/></coverage>",
        "page.xml": "<html/>",
        "notes.xml": "not XML at all",
    }
    for name, text in foreign.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert verdict(("*.xml",))["verdict"] == "passed"
    run_command(["publish", "*.xml"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(foreign)
    for name in foreign:
        assert any(line.startswith(f"testbus: {name}: ") and line.endswith("; passed over") for line in lines), name


def test_what_a_command_wrote_beside_its_reports_costs_nothing(
    verdict: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    """`testbus run --report` passes it over as `publish` does."""
    assert verdict
    code = f"""import pathlib
pathlib.Path("TEST-a.xml").write_text("<testsuite name='s'>{GREEN.replace('"', "'")}</testsuite>")
pathlib.Path("checkstyle.xml").write_text("<checkstyle/>")"""
    assert run_command(["run", "--report", "*.xml", "--", sys.executable, "-c", code]) == 0
    told = capsys.readouterr()
    assert "testbus: 1 result of 1 report file" in told.out
    assert "testbus: checkstyle.xml: its outermost element is <checkstyle>" in told.err


def test_a_broken_report_that_a_glob_means_is_still_an_error(tmp_path: Path, verdict: Verdict) -> None:
    """Only what is surely something else is passed over; a copy of a report is as whole as that."""
    assert verdict
    (tmp_path / "a.xml").write_text("<testsuite name='s'><testcase", encoding="utf-8")
    (tmp_path / "b.xml").touch()
    (tmp_path / "c.xml").write_text(f"<testsuite name='s'>{GREEN}</testsuite>", encoding="utf-8")
    assert run_command(["publish", "*.xml"]) == 1


def test_a_named_file_or_a_glob_of_foreign_files_only_is_an_error(
    verdict: Verdict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody meant a report."""
    assert verdict
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.trx.xml").write_text("<TestRun/>", encoding="utf-8")
    assert run_command(["publish", "out/results.trx.xml"]) == 2
    assert "outermost element is <TestRun>, which is no report" in capsys.readouterr().err
    assert run_command(["publish", "out/*.xml"]) == 2
    assert "out/*.xml: none of the files that it means is a report" in capsys.readouterr().err


def lcov(*names: str, executed: int) -> str:
    """Return a tracefile of files with four lines each, of which one ran."""
    lines = "".join(f"DA:{line},{int(line == executed)}\n" for line in range(1, 5))
    return "".join(f"TN:\nSF:{name}\n{lines}end_of_record\n" for name in names)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a repository with sources, which is the current folder."""
    for name in ("src/shop/cart.c", "src/shop/till.c", "src/main.c", "docs/main.c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("\n" * 4, encoding="utf-8")
    for arguments in (("init", "-q"), ("add", ".")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    (tmp_path / "testbus.yaml").write_text(
        "consumers: {gates: {rules: [{rule: coverage, minimum: 50}]}}", encoding="utf-8"
    )
    return tmp_path


def test_coverage_of_a_container_and_of_the_checkout_is_one(verdict: Verdict, repository: Path) -> None:
    """Each ran another line of the same files: together they are half of them, apart a quarter."""
    names = ("src/shop/cart.c", "src/shop/till.c", "src/main.c")
    (repository / "a.info").write_text(lcov(*(f"/app/{name}" for name in names), executed=1), encoding="utf-8")
    (repository / "b.info").write_text(lcov(*(str(repository / name) for name in names), executed=2), encoding="utf-8")
    found = verdict(("a.info", "--shard", "1/2"), ("b.info", "--shard", "2/2"))
    assert found["verdict"] == "passed"
    assert "6 of 12" in json.dumps(found)


def test_a_rule_says_where_sources_are(verdict: Verdict, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where their names do not: the warning names the first that match nothing, and what to say."""
    (repository / "a.info").write_text(lcov("/build/generated/x.c", "/build/y.c", executed=1), encoding="utf-8")
    run_command(["publish", "a.info", "--run", "other"])
    told = capsys.readouterr().err
    assert "a.info: 2 of 2 measured files match no file of the repository, the first is /build/generated/x.c" in told
    assert "--paths" in told
    (repository / "b.info").write_text(lcov("/build/cart.c", executed=1), encoding="utf-8")
    (repository / "c.info").write_text(lcov("src/shop/cart.c", executed=2), encoding="utf-8")
    found = verdict(("b.info", "c.info", "--paths", "/build=src/shop"))
    assert "2 of 4" in json.dumps(found)


def test_the_configuration_says_where_sources_are_that_runners_did_not_know(
    verdict: Verdict, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a container without git published under its own paths unites with the rest: in verdict and report alike."""
    config = repository / "testbus.yaml"
    rules = config.read_text("utf-8").replace("{gates", "{regressions: {}, gates")
    config.write_text(rules + '\ncoverage: {paths: {"/build/*/code": src/shop}}\n', encoding="utf-8")
    (repository / "a.info").write_text(lcov("/build/7/code/cart.x", "/build/7/code/till.x", executed=1), "utf-8")
    (repository / "b.info").write_text(lcov("src/shop/cart.x", "src/shop/till.x", executed=2), "utf-8")
    found = verdict(("a.info", "--shard", "1/2"), ("b.info", "--shard", "2/2"))
    assert (found["verdict"], "4 of 8" in json.dumps(found)) == ("passed", True)
    run_command(["report", "r1", "--format", "md", "--stdout"])
    told = capsys.readouterr()
    assert "4 of 8" in told.out, told
