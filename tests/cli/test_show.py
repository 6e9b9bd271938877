"""`testbus runs`, `show` and `report` after real runs."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbus.commands.report import file_name
from testbus.main import run_command
from testbus_broker.event_log import EventLog
from testbus_broker.message import Message, message_of
from testbus_consumers.runs.recomputing import delete_bodies
from testbus_consumers.store import open_store
from tests.cli.report.samples import Told, broken_run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

#: Runs pytest as the user's own would, with coverage.
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--cov=shop")

SHOP = "def price(n):\n    if n > 2:\n        return 3\n    return n\n"
TESTS = "from shop import price\ndef test_one(): assert price(1) == 1\ndef test_three(): assert price(3) == {}\n"


@pytest.fixture
def two_runs(testbus: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """Run a green and a broken suite on one branch."""
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    for run, price, chosen in (("web-green", 3, "test_"), ("web-broken", 4, "three")):
        (tmp_path / "test_shop.py").write_text(TESTS.format(price), encoding="utf-8")
        done = testbus("run", "--project", "web", "--", *PYTEST, "-k", chosen, TESTBUS_RUN_ID=run)
        assert done.returncode in {0, 1}, done.stderr


@pytest.mark.usefixtures("two_runs")
def test_runs_are_listed_shown_and_reported(
    testbus: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Newest first, with verdict and counts; a beginning of an id names a run; coverage is compared with before."""
    listed = json.loads(testbus("runs", "--json").stdout)["runs"]
    assert [(one["run"], one["status"], one["verdict"], one["counts"]) for one in listed] == [
        ("web-broken", "completed", "failed", {"failed": 1}),
        ("web-green", "completed", "passed", {"passed": 2}),
    ]
    table = testbus("runs", "--limit", "1").stdout.splitlines()
    assert len(table) == 2
    assert table[1].split()[:3] == ["web-broken", "web", "default"]
    assert testbus("runs", "--project", "other").stdout == "no such run yet: project other\n"

    shown = testbus("show", "web-b").stdout
    assert "FAILED  1 of 1 test fails: AssertionError: assert 3 == 4" in shown
    assert "AssertionError: assert 3 == 4  (1 test)" in shown
    assert "failed: test_shop.py::test_three" in shown
    assert "web-green" in shown
    data = json.loads(testbus("show", "web-b", "--json").stdout)
    assert data["coverage"]["compared_with"]["run"] == "web-green"
    assert data["coverage"]["total"] == {
        "name": "total", "files": 1, "covered": 3, "coverable": 4, "percent": 75.0, "change": -25.0,
    }  # fmt: skip

    written = testbus("report", "web-b", "--format", "html,json,md", "--out", "reports").stdout.splitlines()
    assert written == [f"reports/testbus-report-web-broken.{name}" for name in ("html", "json", "md")]
    assert json.loads((tmp_path / written[1]).read_text(encoding="utf-8")) == data
    assert "test_three" in (tmp_path / written[0]).read_text(encoding="utf-8")
    markdown = (tmp_path / written[2]).read_text(encoding="utf-8")
    for where in (("--stdout",), ("--out", "-")):
        assert testbus("report", "web-b", "--format", "md", *where).stdout == markdown


@pytest.mark.usefixtures("two_runs")
def test_a_run_is_shown_as_long_as_its_record_is_kept(
    testbus: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Without any event of the log the report is the same; without bodies it lacks what tests printed, and no more."""
    home = tmp_path / ".testbus"
    before = json.loads(testbus("show", "web-b", "--json").stdout)
    shutil.rmtree(home / "log")
    assert json.loads(testbus("show", "web-b", "--json").stdout) == before

    store = open_store(f"sqlite:///{home / 'state'}", "runs")
    with store.begin() as connection:
        assert not delete_bodies(connection, time.time() + 1)
    store.close()
    after = json.loads(testbus("show", "web-b", "--json").stdout)
    for told in ("run", "verdict", "counts", "coverage", "changes", "issues", "variants", "producers", "retried"):
        assert after[told] == before[told], told
    for report in (before, after):
        # A message of several lines is kept whole, and what was printed is not.
        for test in (test for cause in report["causes"] for test in cause["tests"]):
            test.pop("output")
    assert after["causes"] == before["causes"]


def test_without_any_run_the_next_step_is_told(testbus: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A newcomer learns how to begin."""
    done = testbus("runs")
    assert done.returncode == 2
    assert "testbus run -- pytest" in done.stderr


class TestWithoutState:
    """A log of events alone is enough to show a run."""

    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the current folder a home that holds the events of two runs, and a message that is no event."""
        log = EventLog(tmp_path)
        garbage = Message(body=b"{github:acme/shop:4711", routing_key="results.recorded.acme-shop")
        events = [event for run in (broken_run(), _other()) for event in run.events]
        log.append([garbage, *map(message_of, events)])
        log.close()
        monkeypatch.setenv("TESTBUS_URL", f"file://{tmp_path}")
        monkeypatch.chdir(tmp_path)

    def test_a_run_is_found_by_its_events(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Its id, or the beginning of it that only one run has; what cannot be read is told."""
        assert run_command(["show", "github:acme/shop:4711", "--json"]) == 0
        captured = capsys.readouterr()
        assert _verdict(captured.out) == ("github:acme/shop:4711:unit", "failed")
        assert "unreadable event under results.recorded.acme-shop" in captured.err

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (
                ("show", "github:acme/shop"),
                ["several runs", "github:acme/shop:4711:unit", "github:acme/shop:4712:unit"],
            ),
            (("show", "other"), ["nothing was published of a run 'other'", "testbus runs"]),
            (("report", "github:acme/shop:4711", "--format", "pdf"), ["html, json, md"]),
            (("report", "github:acme/shop:4711", "--format", "html,md", "--stdout"), ["one format"]),
            (("report", "github:acme/shop:4711", "--out", "log/file"), ["log/file", "cannot be written"]),
            (("runs",), ["testbus run -- pytest", "TESTBUS_DATABASE_URL"]),
        ],
    )
    def test_what_cannot_be_done_is_explained(
        self, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: list[str]
    ) -> None:
        """An ambiguous beginning lists the runs; an unknown run and a wrong format name what there is."""
        Path("log/file").touch()
        assert run_command(list(arguments)) == 2
        error = capsys.readouterr().err
        for word in told:
            assert word in error

    def test_the_ci_job_s_own_run_is_the_default(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As for `testbus verdict`, a CI job need not name its run."""
        monkeypatch.setenv("TESTBUS_RUN_ID", "github:acme/shop:4711:unit")
        assert run_command(["report", "--format", "json", "--stdout"]) == 0
        assert _verdict(capsys.readouterr().out)[0] == "github:acme/shop:4711:unit"


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("nightly-6.1", "nightly-6.1"),
        ("github:acme/shop:4711:unit", "github-acme-shop-4711-unit~"),
        ("../../etc/passwd", "etc-passwd~"),
        ("a" * 200, "a" * 120 + "~"),
        ("…", "~"),
    ],
)
def test_a_file_s_name_is_safe(run: str, name: str) -> None:
    """Whatever a run is called, its report stays in the folder, and no name is too long."""
    assert re.fullmatch(re.escape(name) + ("[0-9a-f]{12}" if name[-1] == "~" else ""), file_name(run))


def test_no_two_runs_share_a_file() -> None:
    """Not where ids differ in what a name cannot keep, nor where the file system takes large letters for small ones."""
    runs = ["a/b", "a:b", "a-b", "A-b", "a b", "a--b", "-a-b", "a-b.", "a" * 130, "a" * 131, "é", "è", "a/B"]
    runs += [file_name("a/b"), file_name("é")]
    assert len({file_name(run).lower() for run in runs}) == len(runs)


def _shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert run_command([*arguments]) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


class TestOneRunOnly:
    """A log with events of others that nobody can read."""

    RUN = "github:acme/shop:4711:unit"

    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the current folder a home with a run, and with events that cannot be read."""
        told = broken_run()
        log = EventLog(tmp_path)
        whole = [message_of(event) for event in told.events]
        ours, others = whole[0], []
        for number, change in enumerate((b'"subject":"%s0"' % self.RUN.encode(), b'"subject":"another \\u00e9"')):
            body = ours.body.replace(b'"subject":"%s"' % self.RUN.encode(), change)
            assert body != ours.body
            others.append(replace(ours, body=body, routing_key=f"results.recorded.other-{number}"))
        others.append(replace(ours, body=b"no gzip", content_encoding="gzip", routing_key="results.recorded.other-2"))
        log.append([*others, *whole])
        log.close()
        monkeypatch.setenv("TESTBUS_URL", f"file://{tmp_path}")
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("command", [("show", RUN), ("events", "--run", RUN, "--json")])
    def test_nothing_is_said_of_other_runs(self, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
        """Neither of one whose id begins so, nor of what nobody can tell."""
        assert "other" not in _shown(capsys, *command)[1]


def _other() -> Told:
    told = Told(run="github:acme/shop:4712:unit")
    told.producer("p1")
    told.finished("p1")
    return told


def _verdict(text: str) -> tuple[str, str | None]:
    data = json.loads(text)
    return data["run"], data["verdict"]


@pytest.mark.parametrize(
    ("named", "judged", "shown"),
    [
        ("", ["failures of shop 0", "coverage of shop 75 %"], {"shop": 1, "other": 1}),
        ("bank", ["failures of shop: only for component shop", "coverage of shop: only for"], {"bank": 2}),
    ],
)
def test_components_are_judged_and_shown(
    testbus: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    named: str,
    judged: list[str],
    shown: dict[str, int],
) -> None:
    """As the configuration names them, or all as the one that TESTBUS_COMPONENT says; on every page."""
    rules = "[{rule: failures, component: shop}, {rule: coverage, minimum: 70, component: shop}]"
    (tmp_path / "testbus.yaml").write_text(
        "components: {shop: {paths: [shop.py], tests: ['test_shop.py']}, web: {paths: ['web/**']}}\n"
        f"consumers: {{gates: {{rules: {rules}}}}}\n",
        encoding="utf-8",
    )
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    (tmp_path / "bank.py").write_text("MONEY = 1\n", encoding="utf-8")
    (tmp_path / "test_shop.py").write_text(
        "from shop import price\ndef test_three(): assert price(3) == 3\n", encoding="utf-8"
    )
    (tmp_path / "test_bank.py").write_text("import bank\ndef test_bank(): assert not bank.MONEY\n", encoding="utf-8")
    done = testbus("run", "--", *PYTEST, "--cov=bank", TESTBUS_RUN_ID="r1", TESTBUS_COMPONENT=named)
    assert done.returncode == 1, done.stderr
    data = json.loads(testbus("show", "r1", "--json").stdout)
    assert data["verdict"] == "passed"
    messages = [one["message"] for one in data["evaluation"]["rules"]]
    assert [told[: len(start)] for told, start in zip(messages, judged, strict=True)] == judged
    assert {one["name"]: one["files"] for one in data["coverage"]["components"]} == shown
    page, text = (testbus("report", "r1", "--format", one, "--out", "-").stdout for one in ("html", "md"))
    for name in shown:
        assert f"`{name}`" in text
        assert f"<code>{name}</code>" in page
        assert re.search(rf"^ *{name} ", testbus("show", "r1").stdout, re.MULTILINE)
