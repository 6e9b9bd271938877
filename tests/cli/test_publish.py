"""`testbus publish` and `testbus finish`, and what the gates make of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbus_broker.event_log import EventLog
from testbus_schemas import (
    ArtifactRecorded,
    BenchmarksRecorded,
    EnvironmentRecorded,
    MetricsRecorded,
    ProducerFinished,
    ResultsRecorded,
    decode,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from testbus_schemas import Event, EventData

    Command = Callable[..., subprocess.CompletedProcess[str]]

FIXTURES = Path(__file__).parents[1] / "producers" / "readers" / "fixtures"

GREEN = '<testsuite name="s"><testcase classname="c" name="good" time="0.1"/></testsuite>'
MORE = '<testsuite name="s"><testcase classname="c" name="better" time="0.1"/></testsuite>'


@pytest.fixture
def publish(testbus: Command, tmp_path: Path) -> Command:
    """Call `testbus` with an embedded pipeline in the folder, and a run."""

    def call(*arguments: str, **environment: Any) -> subprocess.CompletedProcess[str]:
        known = {"TESTBUS_URL": f"file://{tmp_path}/.testbus", "TESTBUS_RUN_ID": "r1", "TESTBUS_PROJECT": "shop"}
        # What is recorded of code and machine is a producer of its own: here the files are counted.
        known["TESTBUS_RECORD"] = "none"
        return testbus(*arguments, **known | environment)

    return call


def events(folder: Path) -> list[Event[EventData]]:
    """Return everything that was published."""
    return [decode(one.body, one.content_encoding) for one, _ in EventLog(folder / ".testbus").read({})]


def evaluation(publish: Command) -> dict[str, Any]:
    """Return the verdict on the run, after all is delivered."""
    assert publish("drain").returncode == 0
    answer: dict[str, Any] = json.loads(publish("verdict", "r1", "--timeout", "5", "--json").stdout)["evaluation"]
    return answer


def test_reports_of_any_tool_are_one_run_with_a_verdict(publish: Command, tmp_path: Path) -> None:
    """Several files in one call; each line says what a file held."""
    for name in ("pytest.xml", "jest.xml", "gotestsum.xml"):
        shutil.copy(FIXTURES / name, tmp_path)
    done = publish("publish", "*.xml")
    assert done.returncode == 0, done.stderr
    assert "jest.xml: jest, 9 results (2 failed, 5 passed, 1 skipped, 1 timeout)\n" in done.stdout
    assert "events sent to" in done.stdout
    verdict = evaluation(publish)
    assert (verdict["verdict"], verdict["total"]) == ("failed", 26)
    assert verdict["counts"] == {"error": 2, "failed": 9, "passed": 10, "skipped": 3, "timeout": 1, "xfailed": 1}


def test_publishing_again_changes_nothing_alone_or_with_more(publish: Command, tmp_path: Path) -> None:
    """The same bytes for the same run have the same ids, whatever the file is called and whatever is beside it."""
    (tmp_path / "a.xml").write_text(GREEN, encoding="utf-8")
    publish("publish", "a.xml")
    first = {event.id for event in events(tmp_path)}
    (tmp_path / "a.xml").rename(tmp_path / "z.xml")
    (tmp_path / "b.xml").write_text(MORE, encoding="utf-8")
    assert publish("publish", "z.xml", "b.xml").returncode == 0
    again = [event.id for event in events(tmp_path)][len(first) :]
    assert first < set(again)
    assert len(again) == len(first) * 2
    assert evaluation(publish)["counts"] == {"passed": 2}


def test_another_run_variant_shard_or_attempt_is_other_events(publish: Command, tmp_path: Path) -> None:
    """A report may be the same byte for byte in two runs."""
    (tmp_path / "a.xml").write_text(GREEN, encoding="utf-8")
    for options in ((), ("--run", "r2"), ("--variant", "v"), ("--shard", "1/2"), ("--attempt", "2")):
        assert publish("publish", "a.xml", *options).returncode == 0
    assert len({event.id for event in events(tmp_path)}) == 5 * 3


def test_a_broken_file_costs_itself_and_makes_the_run_incomplete(publish: Command, tmp_path: Path) -> None:
    """The others are published; the error names the file and the place; the verdict says why it is not `passed`."""
    (tmp_path / "good.xml").write_text(GREEN, encoding="utf-8")
    (tmp_path / "broken.xml").write_text(f"{MORE[:60]}", encoding="utf-8")
    done = publish("publish", "good.xml", "broken.xml")
    assert done.returncode == 1
    assert "testbus: broken.xml, line 1, column" in done.stderr
    assert "it ends too early" in done.stderr
    assert "good.xml: junit, 1 result (1 passed)" in done.stdout
    verdict = evaluation(publish)
    assert (verdict["verdict"], verdict["counts"]) == ("incomplete", {"passed": 1})
    assert any("broken.xml, line 1" in reason for reason in verdict["reasons"])


def test_a_higher_attempt_replaces_what_was_published_before(publish: Command, tmp_path: Path) -> None:
    """The broken file was written anew."""
    (tmp_path / "a.xml").write_text(MORE[:60], encoding="utf-8")
    assert publish("publish", "a.xml").returncode == 2
    (tmp_path / "a.xml").write_text(MORE, encoding="utf-8")
    assert publish("publish", "a.xml", "--attempt", "2").returncode == 0
    assert evaluation(publish)["verdict"] == "passed"


def test_paths_that_mean_nothing_are_told(publish: Command, tmp_path: Path) -> None:
    """With others it is 1, alone it is 2, and nothing is sent."""
    (tmp_path / "good.xml").write_text(GREEN, encoding="utf-8")
    done = publish("publish", "good.xml", "shards/*/junit.xml")
    assert done.returncode == 1
    assert "shards/*/junit.xml: no file matches it" in done.stderr
    count = len(events(tmp_path))
    assert publish("publish", "nothing.xml").returncode == 2
    assert len(events(tmp_path)) == count


def test_a_copy_is_left_out(publish: Command, tmp_path: Path) -> None:
    """The same file by two ways, or a copy of it, is one report."""
    (tmp_path / "a.xml").write_text(GREEN, encoding="utf-8")
    shutil.copy(tmp_path / "a.xml", tmp_path / "b.xml")
    done = publish("publish", "a.xml", "b.xml", "./a.xml")
    assert "b.xml: the same as a.xml, left out" in done.stdout
    assert evaluation(publish)["counts"] == {"passed": 1}


def test_a_broker_that_does_not_answer_is_told_with_what_to_do(publish: Command, tmp_path: Path) -> None:
    """Nothing is half counted, because the last event is missing; the same command sends the rest."""
    (tmp_path / "a.xml").write_text(GREEN, encoding="utf-8")
    done = publish("publish", "a.xml", "--timeout", "1", TESTBUS_URL="amqp://guest:s3cret@127.0.0.1:1/%2F")
    assert done.returncode == 2
    assert "127.0.0.1:1" in done.stderr
    assert "Publish again when the broker answers" in done.stderr
    assert "s3cret" not in done.stderr


def test_large_reports_are_cut_into_bounded_events(publish: Command, tmp_path: Path) -> None:
    """At most 200 results in an event, and the last one says how many events there were."""
    cases = "".join(f'<testcase classname="c" name="t{number}"/>' for number in range(450))
    (tmp_path / "a.xml").write_text(f'<testsuite name="s">{cases}</testsuite>', encoding="utf-8")
    assert publish("publish", "a.xml").returncode == 0
    data = [event.data for event in events(tmp_path)]
    assert [len(one.results) for one in data if isinstance(one, ResultsRecorded)] == [200, 200, 50]
    assert isinstance(data[-1], ProducerFinished)
    assert (data[-1].events, data[-1].reported) == (5, 450)


def test_without_a_run_the_files_are_one_of_their_own(publish: Command, tmp_path: Path) -> None:
    """Outside of a CI the same files are the same run."""
    (tmp_path / "a.xml").write_text(GREEN, encoding="utf-8")
    runs = [json.loads(publish("publish", "a.xml", "--json", TESTBUS_RUN_ID="").stdout)["run"] for _ in range(2)]
    assert runs[0] == runs[1]


def test_coverage_of_two_shards_is_their_union(publish: Command, tmp_path: Path) -> None:
    """Each ran another line."""
    for number in (1, 2):
        lines = "".join(f"DA:{line},{int(line == number)}\n" for line in (1, 2))
        (tmp_path / f"{number}.info").write_text(f"TN:\nSF:a.c\n{lines}end_of_record\n", encoding="utf-8")
    (tmp_path / "testbus.yaml").write_text("consumers: {gates: {rules: [{rule: coverage, minimum: 100}]}}", "utf-8")
    for number in (1, 2):
        done = publish("publish", f"{number}.info", "--shard", f"{number}/2")
        assert f"{number}.info: lcov, coverage of 1 file" in done.stdout
    assert evaluation(publish)["verdict"] == "passed"


def test_finish_closes_a_run_whose_total_nobody_knew(publish: Command, tmp_path: Path) -> None:
    """Two parts that only know their number; said before, between or after, and twice."""
    for number, text in ((1, GREEN), (2, MORE)):
        (tmp_path / "a.xml").write_text(text, encoding="utf-8")
        publish("publish", "a.xml", "--shard", str(number))
    assert publish("drain").returncode == 0
    assert publish("verdict", "r1", "--timeout", "0").returncode == 4
    for _ in range(2):
        done = publish("finish", "r1", "--shards", "2")
        assert done.stdout == "run r1: 2 shards announced\n"
    assert evaluation(publish)["verdict"] == "passed"


def test_finish_wants_a_number(publish: Command) -> None:
    """Without it there is nothing to say."""
    done = publish("finish", "r1")
    assert done.returncode == 2
    assert "--shards" in done.stderr


def test_files_and_addresses_are_attached_by_hand(publish: Command, tmp_path: Path) -> None:
    """To a test, whose name may hold `=`, or to the whole run; the run is complete with them."""
    (tmp_path / "a.xml").write_text(GREEN, encoding="utf-8")
    (tmp_path / "run=1.log").write_text("it ran", encoding="utf-8")
    arguments = ("--attach", "c::good[x=1]=run=1.log", "--attach", "=https://ci.example/?a=b")
    done = publish("publish", "a.xml", *arguments)
    assert done.returncode == 0, done.stderr
    assert "attached: 2 attachments" in done.stdout
    data = [event.data for event in events(tmp_path) if isinstance(event.data, ArtifactRecorded)]
    assert [(one.node_id, one.name, one.url) for one in data] == [
        ("c::good[x=1]", "run=1.log", None),
        (None, "ci.example", "https://ci.example/?a=b"),
    ]
    assert evaluation(publish)["verdict"] == "passed"
    assert publish("publish", "a.xml", "--attach", "c::good=nowhere.png").returncode == 2


def test_publishing_nothing_is_told(publish: Command) -> None:
    """With an example of what could be given."""
    done = publish("publish")
    assert done.returncode == 2
    assert "testbus publish 'reports/*.xml'" in done.stderr


def test_metrics_are_published_alone_or_with_reports(publish: Command, tmp_path: Path) -> None:
    """A value may have a unit, a name spaces and `=`; the same again changes nothing."""
    arguments = ("--metric", "queries=120", "--metric", "db size=12.5 MB", "--metric", "a=b=-1e3ms")
    done = publish("publish", *arguments)
    assert done.returncode == 0, done.stderr
    assert "measured: metrics, 3 values\n3 events sent" in done.stdout
    assert publish("publish", *arguments, "--better", "lower").returncode == 0
    first, again = (one.data for one in events(tmp_path) if isinstance(one.data, MetricsRecorded))
    assert first.metrics == again.metrics
    assert [(one.name, one.value, one.unit, one.better.value) for one in first.metrics] == [
        ("queries", 120.0, "", "lower"),
        ("db size", 12.5, "MB", "lower"),
        ("a=b", -1000.0, "ms", "lower"),
    ]
    assert len({one.id for one in events(tmp_path)}) == 3
    (tmp_path / "a.xml").write_text(GREEN, encoding="utf-8")
    assert publish("publish", "a.xml", "--metric", "rate=3/s", "--better", "higher").returncode == 0
    assert evaluation(publish)["counts"] == {"passed": 1}


@pytest.mark.parametrize("text", ["queries", "=3", "queries=", "queries=many", "queries=1e999", f"q=1{'x' * 40}"])
def test_what_is_no_metric_is_refused(publish: Command, text: str) -> None:
    """The error shows the form."""
    done = publish("publish", "--metric", text)
    assert done.returncode == 2
    assert "expected NAME=VALUE, as queries=120 or 'db size=12.5MB'" in done.stderr


def test_code_and_machine_are_a_producer_of_their_own(publish: Command, tmp_path: Path) -> None:
    """So files have the same events wherever they are published from; the run is complete with it."""
    (tmp_path / "a.xml").write_text(GREEN, encoding="utf-8")
    options = {"TESTBUS_RECORD": "environment", "TESTBUS_FLAGS": "cart=new", "TESTBUS_LABELS": "board=7"}
    assert publish("publish", "a.xml", **options).returncode == 0
    assert publish("publish", "a.xml", **options).returncode == 0
    found = [one for one in events(tmp_path) if isinstance(one.data, EnvironmentRecorded)]
    assert len({one.id for one in found}) == 1
    data = found[0].data
    assert isinstance(data, EnvironmentRecorded)
    assert (data.flags, data.labels, data.python) == ({"cart": "new"}, {"board": "7"}, "")
    assert evaluation(publish)["verdict"] == "passed"


def test_benchmarks_are_published_like_reports(publish: Command, tmp_path: Path) -> None:
    """A folder's file of a usual name is found; who publishes says which value is the better one."""
    entry = '[{"name": "boot", "unit": "points", "value": 70}]'
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "benchmark.json").write_text(entry, encoding="utf-8")
    done = publish("publish", "reports", "--better", "higher")
    assert done.returncode == 0, done.stderr
    assert "benchmark.json: github-action-benchmark, 1 benchmark\n" in done.stdout
    (data,) = (one.data for one in events(tmp_path) if isinstance(one.data, BenchmarksRecorded))
    assert [(one.name, one.mean, one.better.value) for one in data.benchmarks] == [("boot", 70.0, "higher")]
    assert data.tool == "github-action-benchmark"
