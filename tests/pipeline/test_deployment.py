"""One real test run through RabbitMQ, PostgreSQL and Celery workers, and what happens when parts of that fail."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.deployment import SOON_S, Deployment
from harness.events import FakeProducer
from harness.support import wait_until
from testbus_broker.message import Message, message_of
from testbus_broker.publisher import open_publisher
from testbus_schemas import encode
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUITE = """
import pytest

@pytest.mark.parametrize("n", range(40))
def test_many(n):
    assert n % 10 != 3, f"{n} ends in a three"

class TestClass:
    def test_method(self): pass

@pytest.fixture
def broken(): raise RuntimeError("set up in vain")

def test_setup(broken): pass

@pytest.mark.skip(reason="not today")
def test_skipped(): pass

@pytest.mark.xfail(reason="known")
def test_expected(): assert False
"""

#: Results of that suite.
RESULTS = 44

#: Those that did not pass, each with a log in ReportPortal.
BAD = 5


@pytest.fixture(scope="module")
def deployment(own_amqp_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Give a running deployment, shared by the tests of this module."""
    folder = tmp_path_factory.mktemp("deployment")
    with Deployment(folder=folder, amqp_url=own_amqp_url, database_url=database_url) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project whose tests end in every way."""
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def run() -> str:
    """Give a run id."""
    return new_id()


def reported(deployment: Deployment, target: str, run: str) -> tuple[int, int] | None:
    """Return items and logs of a finished launch, None while it is not."""
    launch = deployment.launch(target, run)
    if launch is None or launch.end_time is None or any(item.end_time is None for item in launch.items):
        return None
    return len(launch.items), sum(len(item.logs) for item in launch.items)


def slack_of(deployment: Deployment, run: str) -> list[Any]:
    """Return the messages of a run."""
    return [
        message
        for message in deployment.sandbox.slack.messages
        if message.metadata and message.metadata["event_payload"]["run"] == run
    ]


def everything_arrived(deployment: Deployment, run: str) -> bool:
    """Tell whether every target has all of a run."""
    return all(reported(deployment, target, run) for target in ("a", "b")) and told(deployment, run)


def told(deployment: Deployment, run: str) -> bool:
    """Tell whether Slack's message of the run shows its verdict, posted so or updated to it."""
    return any(message.text.startswith("❌") for message in slack_of(deployment, run))


def test_a_run_reaches_a_verdict_two_reportportals_and_slack(deployment: Deployment, project: Path, run: str) -> None:
    """A real pytest run, published with confirms: each result is everywhere once."""
    done = deployment.pytest(project, "-n", "2", TESTBUS_RUN_ID=run)
    assert done.returncode == 1, done.stdout
    verdict = deployment.verdict(run)
    assert (verdict["verdict"], verdict["exit"], verdict["total"]) == ("failed", 1, RESULTS)
    assert verdict["counts"] == {"error": 1, "failed": 4, "passed": 37, "skipped": 1, "xfailed": 1}
    wait_until(lambda: everything_arrived(deployment, run), SOON_S, "launches are finished and Slack has the verdict")
    for target in ("a", "b"):
        items, logs = reported(deployment, target, run) or (0, 0)
        assert items == RESULTS
        assert logs >= BAD
    assert len(slack_of(deployment, run)) == 1
    told = deployment.testbus("events", "--run", run, "--type", "results.recorded", "--json").stdout.splitlines()
    names = [result["node_id"] for line in told for result in json.loads(line)["data"]["results"]]
    assert len(names) == len(set(names)) == RESULTS


@pytest.mark.parametrize("victim", ["runs", "gates", "reportportal.a", "slack"])
def test_a_worker_killed_in_the_middle_loses_nothing_and_repeats_nothing(
    deployment: Deployment, project: Path, victim: str
) -> None:
    """SIGKILL a worker with its pool while it is at work, start it again: everything is there, once."""
    run = new_id()
    for server in (deployment.sandbox.reportportal("a"), deployment.sandbox.slack):
        server.faults.latency(50)
    deployment.pytest(project, TESTBUS_RUN_ID=run)
    if victim == "reportportal.a":
        wait_until(lambda: (launch := deployment.launch("a", run)) and len(launch.items) > 3, SOON_S, "it is at work")
    deployment.kill(victim)
    for server in (deployment.sandbox.reportportal("a"), deployment.sandbox.slack):
        server.faults.clear()
    deployment.start(victim)
    assert deployment.verdict(run)["total"] == RESULTS
    wait_until(lambda: everything_arrived(deployment, run), SOON_S, "launches are finished and Slack has the verdict")
    others = reported(deployment, "b", run)
    assert reported(deployment, "a", run) == others
    assert others is not None
    assert others[0] == RESULTS
    assert len(slack_of(deployment, run)) == 1


def test_a_hung_reportportal_delays_nobody_else(deployment: Deployment, project: Path, run: str) -> None:
    """One target accepts and never answers: everything else comes all the same, and then it catches up."""
    faults = deployment.sandbox.reportportal("a").faults
    faults.hang()
    try:
        deployment.pytest(project, TESTBUS_RUN_ID=run)
        began = time.monotonic()
        assert deployment.verdict(run)["verdict"] == "failed"
        wait_until(lambda: told(deployment, run), SOON_S, "Slack has the verdict")
        wait_until(lambda: reported(deployment, "b", run), SOON_S, "the other target has it all")
        waited = time.monotonic() - began
    finally:
        faults.clear()
    assert reported(deployment, "a", run) is None
    assert waited < SOON_S
    wait_until(lambda: reported(deployment, "a", run), 2 * SOON_S, "the hung target has caught up")
    assert reported(deployment, "a", run) == reported(deployment, "b", run)


def test_what_cannot_be_read_is_dead_lettered_with_its_reason(deployment: Deployment, run: str) -> None:
    """Garbage under every disguise: each is in the dead letters of each queue that it reached, and others go on."""
    good = FakeProducer("garbage", run=run).started()
    body = encode(good).body
    bad = {
        "no JSON": Message(body=b"\xff\xfe", routing_key="results.recorded.web"),
        "cut short": Message(body=body[:-9], routing_key="producer.started.web"),
        "not gzip": Message(body=body, content_encoding="gzip", routing_key="producer.started.web"),
        "other encoding": Message(body=body, content_encoding="br", routing_key="producer.started.web"),
        "unknown type": Message(body=body.replace(b"r.started", b"r.dreamt"), routing_key="producer.started.web"),
        "wrong schema": Message(body=body.replace(b'"tool"', b'"fool"'), routing_key="producer.started.web"),
        "other project": Message(body=body, routing_key="producer.started.other"),
        "other content type": Message(body=b"[]", content_type="application/json", routing_key="producer.started.web"),
        "celery's own": Message(
            body=b'{"task": "x"}', content_type="application/json", headers={"task": "x", "id": "1"},
            routing_key="producer.started.web",
        ),
        "steering": Message(body=b"{}", headers={"eta": "2999-01-01T00:00:00"}, routing_key="producer.started.web"),
        "bomb": Message(body=b"{}", headers={"compression": "zlib"}, routing_key="producer.started.web"),
    }  # fmt: skip
    before = deployment.depths("runs")["dead"]
    publisher = open_publisher(deployment.amqp_url)
    publisher.publish(list(bad.values()), 30)
    publisher.close(5)
    wait_until(lambda: deployment.depths("runs")["dead"] == before + len(bad), SOON_S, "each is a dead letter of runs")
    producer = FakeProducer("after", run=run)
    publisher = open_publisher(deployment.amqp_url)
    events = producer.whole(test_a="passed")
    publisher.publish([message_of(e) for e in events], 30)
    publisher.close(5)
    assert deployment.verdict(run)["verdict"] == "passed"


def test_a_crash_leaves_every_result_and_an_incomplete_run(deployment: Deployment, tmp_path: Path, run: str) -> None:
    """os._exit in the middle: what was recorded before is there after a flush, and nobody calls it passed."""
    head = "import os\nimport pytest\n@pytest.mark.parametrize('n', range(60))\n"
    suite = f"{head}def test(n):\n    if n == 50: os._exit(7)\n"
    (tmp_path / "test_crash.py").write_text(suite, encoding="utf-8")
    assert deployment.pytest(tmp_path, TESTBUS_RUN_ID=run).returncode == 7
    deployment.testbus("flush")
    verdict = deployment.verdict(run)
    assert (verdict["verdict"], verdict["exit"]) == ("incomplete", 3)
    assert verdict["counts"] == {"not_reported": 10, "passed": 50}
    assert "its process died" in verdict["reasons"][0]
    assert deployment.testbus("flush").stdout.startswith("nothing to send")


def test_variants_shards_and_attempts_are_told_apart(deployment: Deployment, project: Path, run: str) -> None:
    """Two variants keep both results, shards make one run, and a re-run supersedes the attempt before it."""
    jobs = [
        ("3.11", "1/2", "1", "setup"),
        ("3.12", "2/2", "1", "method"),
        ("3.12", "1/2", "1", "method"),
        ("3.11", "2/2", "1", "method"),
        ("3.11", "1/2", "2", "method"),
    ]
    for variant, shard, attempt, tests in jobs:
        deployment.pytest(
            project,
            "-k",
            tests,
            f"--testbus-shard={shard}",
            f"--testbus-variant={variant}",
            TESTBUS_RUN_ID=run,
            GITHUB_ACTIONS="true",
            GITHUB_RUN_ATTEMPT=attempt,
            GITHUB_REPOSITORY="o/web",
            GITHUB_RUN_ID="1",
        )
    wait_until(lambda: deployment.verdict(run)["counts"] == {"passed": 4}, SOON_S, "the second attempt's verdict")
    assert deployment.verdict(run)["verdict"] == "passed"


def test_a_backlog_for_a_dead_target_costs_a_probe_now_and_then(deployment: Deployment, project: Path) -> None:
    """Refused connections: after a few tries the queue is left alone with all its events; then it catches up."""
    portal = deployment.sandbox.reportportal("a")
    dead = deployment.depths("reportportal.a")["dead"]
    portal.faults.refuse()
    runs = [new_id() for _ in range(3)]
    try:
        for run in runs:
            deployment.pytest(project, TESTBUS_RUN_ID=run)
        for run in runs:
            wait_until(lambda run=run: reported(deployment, "b", run), SOON_S, "the other target has it all")  # type: ignore[misc]
        wait_until(lambda: deployment.workers("reportportal.a") == 0, SOON_S, "nobody consumes for the dead target")
    finally:
        portal.faults.clear()
    for run in runs:
        wait_until(lambda run=run: reported(deployment, "a", run), 2 * SOON_S, "the target has caught up")  # type: ignore[misc]
        assert reported(deployment, "a", run) == reported(deployment, "b", run)
    assert deployment.depths("reportportal.a")["dead"] == dead
