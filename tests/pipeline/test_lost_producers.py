"""Producers that are killed, vanish, are cancelled, or only seem to be gone: through real services."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from harness.deployment import SOON_S, START_S, Deployment
from harness.events import FakeProducer
from harness.support import wait_until
from testbus_broker.message import message_of
from testbus_broker.publisher import open_publisher
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from testbus_schemas import Event, EventData

#: Seconds: signs of life, and the deadline of a producer without.
BEAT_S, LOST_S = 2, 8

#: A suite of which one test waits until it is killed.
SUITE = """
import pathlib, time
def test_first(): pass
def test_waiting():
    pathlib.Path("begun").touch()
    if not pathlib.Path("go").exists(): time.sleep(600)
def test_last(): pass
"""


class Impatient(Deployment):
    """A deployment that misses a silent producer soon."""

    def _configuration(self) -> dict[str, Any]:
        configuration = super()._configuration()
        configuration["consumers"]["runs"] |= {"producer_deadline_s": LOST_S}
        configuration["consumers"]["slack"] |= {"only_on": "failed"}
        return configuration


@pytest.fixture(scope="module")
def deployment(own_amqp_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Give a running deployment, shared by the tests of this module."""
    folder = tmp_path_factory.mktemp("deployment")
    with Impatient(folder=folder, amqp_url=own_amqp_url, database_url=database_url, portals=("a",)) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project with a test that does not end by itself."""
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return tmp_path


def start(deployment: Deployment, project: Path, run: str, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
    """Start a session, and wait until its long test has begun and its first events are confirmed."""
    command = [sys.executable, "-m", "pytest", "--testbus", "-p", "no:cacheprovider", *arguments]
    known = deployment.environment(TESTBUS_RUN_ID=run, TESTBUS_HEARTBEAT=str(BEAT_S), **environ)
    session = subprocess.Popen(command, env=known, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until((project / "begun").exists, SOON_S, "the long test has begun")
    wait_until(lambda: "producer.heartbeat" in names(deployment, run), SOON_S, "it gives signs of life")
    return session


def relays(deployment: Deployment) -> list[psutil.Process]:
    """Return the processes that publish the spools of this deployment."""
    spool = str(deployment.folder / "spool")
    every = [
        one
        for one in psutil.process_iter(["cmdline"])
        if "testbus_producers.sending.sender" in (one.info["cmdline"] or [])
    ]
    return [one for one in every if any(file.path.startswith(spool) for file in one.open_files())]


def names(deployment: Deployment, run: str) -> list[str]:
    """Return the types of a run's events in the stream, in their order."""
    lines = deployment.testbus("events", "--run", run, "--json").stdout.splitlines()
    return [json.loads(line)["type"].removeprefix("io.testbus.") for line in lines]


def told(deployment: Deployment, run: str) -> list[Any]:
    """Return Slack's messages about a run."""
    messages = deployment.sandbox.slack.messages
    return [one for one in messages if one.metadata and one.metadata["event_payload"]["run"] == run]


def publish(deployment: Deployment, events: Sequence[Event[EventData]]) -> None:
    """Publish events, confirmed."""
    publisher = open_publisher(deployment.amqp_url)
    publisher.publish([message_of(event) for event in events], 60)
    publisher.close(5)


def test_a_killed_producer_is_missed_and_its_late_flush_corrects_everything(
    deployment: Deployment, project: Path
) -> None:
    """The machine is lost: incomplete within the deadline and two heartbeats; then the spool comes after all.

    The flush can only tell that the process died, so the run stays incomplete until the job is run again.
    """
    run = new_id()
    whole = project / "whole"
    whole.mkdir()
    (whole / "test_whole.py").write_text("def test_whole(): pass\n", encoding="utf-8")
    (whole / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    ci: dict[str, Any] = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/web", "GITHUB_RUN_ID": "1"}
    first = ("test_suite.py", "--testbus-shard=1/2")
    session = start(deployment, project, run, *first, GITHUB_RUN_ATTEMPT="1", **ci)
    deployment.pytest(whole, "--testbus-shard=2/2", TESTBUS_RUN_ID=run, GITHUB_RUN_ATTEMPT="1", **ci)
    began = time.monotonic()
    # Its relay first: that would tell of the session's end within seconds.
    for relay in relays(deployment):
        relay.kill()
    session.send_signal(signal.SIGKILL)
    session.wait()
    verdict = deployment.verdict(run)
    # The product's own bound, with what a busy machine may take besides; the run's deadline is fifteen minutes.
    assert time.monotonic() - began < LOST_S + 2 * BEAT_S + SOON_S
    assert (verdict["verdict"], verdict["exit"], verdict["cancelled"]) == ("incomplete", 3, False)
    assert "fell silent before it had finished" in verdict["reasons"][0]
    assert verdict["counts"] == {"not_reported": 2, "passed": 2}
    wait_until(lambda: told(deployment, run), SOON_S, "Slack is told")
    wait_until(lambda: deployment.launch("a", run).status == "INTERRUPTED", SOON_S, "the launch is interrupted")
    deployment.testbus("flush")
    wait_until(lambda: deployment.verdict(run)["revision"] > 1, SOON_S, "the flush has been judged")
    assert "its process died" in deployment.verdict(run)["reasons"][0]
    (project / "go").touch()
    deployment.pytest(project, *first, TESTBUS_RUN_ID=run, GITHUB_RUN_ATTEMPT="2", **ci)
    wait_until(lambda: deployment.verdict(run)["verdict"] == "passed", SOON_S, "the second attempt's verdict")
    wait_until(lambda: deployment.launch("a", run).status == "PASSED", SOON_S, "the launch is corrected")
    wait_until(lambda: "passed" in told(deployment, run)[0].text, SOON_S, "Slack's message is corrected")
    assert len(told(deployment, run)) == 1


def test_a_machine_that_was_cut_off_completes_its_run_later(deployment: Deployment) -> None:
    """No flush, no farewell: first incomplete; then all comes from its spool, and verdict, launch and Slack change."""
    run = new_id()
    lost = FakeProducer(f"lost {run[-12:]}", run=run, shard={"index": 1, "total": 2})
    other = FakeProducer(f"other {run[-12:]}", run=run, shard={"index": 2, "total": 2})
    publish(deployment, [lost.started(heartbeat_s=BEAT_S), lost.collected("test_a", "test_b")])
    late = [lost.results(test_a="passed", test_b="passed"), lost.finished()]
    publish(deployment, other.whole(test_c="passed"))
    assert deployment.verdict(run)["verdict"] == "incomplete"
    wait_until(lambda: told(deployment, run), SOON_S, "Slack is told")
    publish(deployment, late)
    wait_until(lambda: deployment.verdict(run)["verdict"] == "passed", SOON_S, "the verdict is corrected")
    wait_until(lambda: deployment.launch("a", run).status == "PASSED", SOON_S, "the launch is corrected")
    wait_until(lambda: "passed" in told(deployment, run)[0].text, SOON_S, "Slack's message is corrected")
    assert len(told(deployment, run)) == 1
    decided = [name for name in names(deployment, run) if name.startswith(("run.", "gate."))]
    assert sorted(decided) == sorted(
        ["run.interrupted", "gate.evaluated", "run.reopened", "run.completed", "gate.evaluated"]
    )


def test_a_cancelled_job_alarms_nobody(deployment: Deployment, project: Path) -> None:
    """SIGTERM to the session: incomplete and cancelled, exit code 3, nothing in Slack; the launch says interrupted."""
    run = new_id()
    session = start(deployment, project, run)
    os.kill(session.pid, signal.SIGTERM)
    assert session.wait(SOON_S) == -signal.SIGTERM
    verdict = deployment.verdict(run)
    assert (verdict["verdict"], verdict["exit"], verdict["cancelled"]) == ("incomplete", 3, True)
    wait_until(lambda: deployment.launch("a", run).status == "INTERRUPTED", SOON_S, "the launch is interrupted")
    wait_until(lambda: deployment.depths("slack")["waiting"] == 0, SOON_S, "Slack's queue is drained")
    assert told(deployment, run) == []


def test_a_backlog_never_looks_like_lost_producers(deployment: Deployment) -> None:
    """`runs` is down for longer than the deadline while everybody goes on: when it is back nothing was lost."""
    run = new_id()
    producer = FakeProducer(f"busy {run[-12:]}", run=run)
    publish(deployment, [producer.started(heartbeat_s=BEAT_S)])
    wait_until(lambda: deployment.depths("runs")["waiting"] == 0, SOON_S, "its first event is counted")
    deployment.kill("runs")
    others = [FakeProducer(f"{number} {run[-12:]}", run=f"{run} {number}") for number in range(30)]
    publish(deployment, [event for other in others for event in other.whole(test_a="passed")])
    until = time.monotonic() + LOST_S + BEAT_S
    while time.monotonic() < until:
        publish(deployment, [producer.heartbeat()])
    publish(deployment, [producer.results(test_a="passed"), producer.finished()])
    deployment.start("runs")
    wait_until(deployment.all_consumed, START_S, "runs is back")
    assert deployment.verdict(run, 2 * SOON_S)["verdict"] == "passed"
    assert [name for name in names(deployment, run) if name.startswith("run.")] == ["run.completed"]
