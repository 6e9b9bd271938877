"""`testbus worker --metrics-port`: one endpoint with the sums over all processes; and `testbus status`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.deployment import SOON_S, START_S, Deployment
from harness.events import FakeProducer
from harness.processes import free_port, unique
from harness.support import wait_until
from testbus_broker.message import Message, message_of
from testbus_broker.publisher import open_publisher

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Runs that are published.
RUNS = 3


@pytest.fixture
def deployment(own_amqp_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Give a deployment whose workers are `testbus worker`'s to start."""
    folder = tmp_path_factory.mktemp("metrics")
    with Deployment(
        folder=folder, amqp_url=own_amqp_url, database_url=database_url, portals=("a",), slack=False, started=False
    ) as running:
        yield running


@pytest.fixture
def port(deployment: Deployment) -> Iterator[int]:
    """Run every consumer in one `testbus worker`, and give the port of its metrics."""
    number = free_port()
    command = [sys.executable, "-m", "testbus", "worker", "--all", "--metrics-port", str(number)]
    with (deployment.folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, env=deployment.environment(), cwd=deployment.folder, stdout=log, stderr=log)
    try:
        wait_until(deployment.all_consumed, START_S, "every queue has a worker")
        yield number
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON_S) == 0


def scraped(port: int) -> dict[str, float]:
    """Return every sample that the endpoint shows, by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def statuses(deployment: Deployment) -> dict[str, Any]:
    """Return what `testbus status --json` says, by consumer."""
    queues = json.loads(deployment.testbus("status", "--json").stdout)["queues"]
    return {one.pop("consumer"): one for one in queues}


def test_a_worker_shows_what_it_did(deployment: Deployment, port: int) -> None:
    """Events by outcome, times, dead letters, timers, breakers and requests to targets, of all processes together."""
    publisher = open_publisher(deployment.amqp_url)
    for name in (unique("run-") for _ in range(RUNS)):
        events = FakeProducer(name, run=name).whole(test_a="passed", test_b="failed")
        publisher.publish([message_of(one) for one in events], 30)
    publisher.publish([Message(body=b"nonsense", routing_key="producer.started.web")], 30)
    publisher.close(5)
    done = "testbus_events_total done reportportal.a gate.evaluated"
    dead = "testbus_events_total dead runs unreadable"
    wait_until(lambda: scraped(port).get(done) == RUNS, SOON_S, "the last event of every run is done")
    wait_until(lambda: scraped(port).get(dead), SOON_S, "what is no event is given up")
    wait_until(lambda: "testbus_breaker_state reportportal.a" in scraped(port), SOON_S, "the breaker was looked at")
    found = scraped(port)
    assert found["testbus_events_total done runs results.recorded"] == RUNS
    assert found[dead] == 1
    assert found["testbus_dead_letters_total runs"] == 1
    assert found["testbus_timers_total done gates testbus.complete"] == RUNS
    # And what others derive of each, which comes when it comes.
    assert found["testbus_event_latency_seconds_count runs"] >= 4 * RUNS
    assert found["testbus_event_handling_seconds_count runs"] >= 4 * RUNS + 1
    assert found["testbus_breaker_state reportportal.a"] == 0
    assert found["testbus_target_request_seconds_count POST item ok reportportal"] >= 2 * RUNS


def test_status_tells_rate_and_lag(deployment: Deployment) -> None:
    """The lag is the age of the oldest that waits; programs can rely on the keys, and monitoring on the exit status."""
    idle = statuses(deployment)["gates"]
    assert list(idle) == [
        "depth",
        "workers",
        "retrying",
        "dead",
        "handled_per_s",
        "lag_s",
        "paused",
        "breaker",
        "problems",
    ]
    assert idle["lag_s"] in {None, 0.0}
    publisher = open_publisher(deployment.amqp_url)
    run = unique("lag-")
    events = FakeProducer(run, run=run).whole(test_a="passed")
    messages = [message_of(one) for one in events]
    publisher.publish(messages, 30)
    deployment.start("runs")
    wait_until(lambda: statuses(deployment)["runs"]["handled_per_s"], START_S, "runs has handled something")
    wait_until(lambda: statuses(deployment)["runs"]["lag_s"] == 0.0, SOON_S, "nothing waits")
    deployment.kill("runs")
    old, new = FakeProducer(f"{run}-old", run=run).started(), FakeProducer(f"{run}-new", run=run).started()
    old = old.model_copy(update={"time": old.time - timedelta(hours=1)})
    publisher.publish([message_of(new), message_of(old), message_of(new)], 30)
    wait_until(lambda: statuses(deployment)["runs"]["depth"] == 3, SOON_S, "they wait")
    # The oldest is the one that came first, which is not the one that says to be older.
    assert statuses(deployment)["runs"]["lag_s"] < 600
    publisher.close(5)
    checked = deployment.testbus("status", "--check", check=False)
    assert checked.returncode == 1
    assert "testbus: runs: 3 waiting and no worker" in checked.stderr
    slow = deployment.testbus("status", "--check", "--max-lag", "1s", "--json", check=False)
    problems = {one["consumer"]: one["problems"] for one in json.loads(slow.stdout)["queues"]}
    assert any("the oldest event has waited" in problem for problem in problems["runs"])
