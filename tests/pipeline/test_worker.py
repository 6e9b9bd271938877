"""An operator's day with workers: they end in order however they are told, and Celery's own tools do no harm."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from harness.deployment import SOON_S, START_S
from harness.support import wait_until
from testbus_broker.connection import connected
from testbus_broker.topology import Subscription
from testbus_consumers.worker.celery_app import PREFETCH
from tests.pipeline.nasty import NastyDeployment

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NASTY = Subscription(name="nasty")

#: Events that its worker fetches ahead.
FETCHED = 2 * PREFETCH


@pytest.fixture
def celery_settings() -> Mapping[str, bool]:
    """Give section `celery` of the configuration."""
    return {}


@pytest.fixture
def deployment(
    tmp_path: Path, own_amqp_url: str, database_url: str, celery_settings: Mapping[str, bool]
) -> Iterator[NastyDeployment]:
    """Give a deployment of the nasty consumer, whose queues are empty, without a worker yet."""
    with NastyDeployment(
        folder=tmp_path, amqp_url=own_amqp_url, database_url=database_url, celery_settings=celery_settings
    ) as running:
        yield running
    with connected(own_amqp_url) as connection:
        for queue in (NASTY.queue, NASTY.dead, *(NASTY.delay(step) for step in (1, 2, 3, 5))):
            connection.channel().queue_delete(queue)


def family(worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return a worker and all that it started."""
    leader = psutil.Process(worker.pid)
    return [leader, *leader.children(recursive=True)]


def lines(deployment: NastyDeployment) -> list[dict[str, Any]]:
    """Return the worker's log; every line of it is JSON."""
    return [json.loads(line) for line in deployment.log.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["systemctl stop", "Ctrl-C"])
def test_a_signal_to_everybody_ends_in_order(deployment: NastyDeployment, number: signal.Signals) -> None:
    """What was begun is done, what was fetched goes back uncounted; the log says so in JSON from its first line."""
    names = [f"slow{index}" for index in range(60)]
    deployment.publish(names, number.name)
    worker = deployment.supervise()
    wait_until(lambda: len(deployment.said("done")) >= 4, START_S, "it is in the middle")
    os.killpg(worker.pid, number)
    assert worker.wait(SOON_S) == 0
    done = deployment.said("done")
    assert Counter(deployment.said("begun")) == Counter(done)
    left = len(names) - len(done)
    assert left > 0
    wait_until(lambda: deployment.depths("nasty")["waiting"] >= left, SOON_S, "what was given back is in the queue")
    # RabbitMQ itself returns, and counts, what it was handing out while it was told to stop.
    assert sum(deployment.left()) <= FETCHED // 2
    told = lines(deployment)
    steps = [line["event"] for line in told if line["event"] in {"started", "ready", "stopping", "stopped"}]
    assert steps == ["started", "ready", "stopping", "stopping", "stopped"]
    given_back = [line for line in told if line["event"] == "event not handled"]
    assert given_back
    for line in given_back:
        assert (line["consumer"], line["run"], line["reason"]) == ("nasty", number.name, "its worker is about to end")
        assert line["event_id"]


def test_a_plain_celery_worker_ends_in_order_too(deployment: NastyDeployment) -> None:
    """SIGTERM to it and to its pool at once, as systemd sends it: the pool is not killed under its events."""
    names = [f"slow{index}" for index in range(40)]
    deployment.publish(names, "plain")
    worker = deployment.work()
    wait_until(lambda: len(deployment.said("done")) >= 4, START_S, "it is in the middle")
    for process in reversed(family(worker)):
        process.send_signal(signal.SIGTERM)
    assert worker.wait(SOON_S) == 0
    assert Counter(deployment.said("begun")) == Counter(deployment.said("done"))
    left = len(names) - len(deployment.said("done"))
    wait_until(lambda: deployment.depths("nasty")["waiting"] >= left, SOON_S, "what was given back is in the queue")
    assert sum(deployment.left()) <= FETCHED // 2


def test_workers_end_with_their_parent(deployment: NastyDeployment) -> None:
    """Kill -9 of `testbus worker`: nobody goes on consuming unseen, and what was begun is done."""
    deployment.publish([f"slow{index}" for index in range(40)], "orphans")
    worker = deployment.supervise()
    wait_until(lambda: len(deployment.said("done")) >= 2, START_S, "it is in the middle")
    everybody = family(worker)
    assert len(everybody) == 4
    worker.kill()
    worker.wait()
    wait_until(lambda: not any(one.is_running() for one in everybody), SOON_S, "all of them are gone")
    assert Counter(deployment.said("begun")) == Counter(deployment.said("done"))
    assert deployment.workers("nasty") == 0


def test_a_second_signal_ends_at_once(deployment: NastyDeployment) -> None:
    """Ctrl-C again, for those who do not want to wait for a handler that hangs."""
    deployment.publish(["hang"], "impatient")
    worker = deployment.supervise()
    wait_until(lambda: deployment.said("begun") == ["hang"], START_S, "it hangs")
    everybody = family(worker)
    os.killpg(worker.pid, signal.SIGINT)
    wait_until(lambda: deployment.log.count('"stopping"') == 2, SOON_S, "it waits for the handler")

    def killed() -> bool:
        # Sent until it is heard as another one: the same signal comes to a group and from its parent.
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGINT)
        return "worker killed" in deployment.log and worker.poll() is not None

    wait_until(killed, SOON_S, "it is killed")
    wait_until(lambda: not any(one.is_running() for one in everybody), SOON_S, "all of them are gone")


def test_nothing_of_celery_purges_a_queue(deployment: NastyDeployment) -> None:
    """`celery purge` and a worker's --purge are refused with what to do instead, and every event is still there."""
    deployment.publish(["good1", "good2"], "precious")
    for arguments in (["purge", "-f"], ["purge", "-f", "-Q", NASTY.queue]):
        refused = deployment.celery(*arguments)
        assert refused.returncode != 0
        assert "Traceback" not in refused.stderr
        assert "testbus pause CONSUMER" in refused.stderr
    deployment.celery("amqp", "queue.purge", NASTY.queue)
    worker = deployment.work("--purge")
    assert worker.wait(START_S) != 0
    assert "not purged" in deployment.log
    assert deployment.depths("nasty")["waiting"] == 2


def test_remote_control_that_is_off_says_so_at_once(deployment: NastyDeployment) -> None:
    """Instead of a second of silence that looks like dead workers."""
    for arguments in (["status"], ["inspect", "ping"], ["control", "shutdown"]):
        refused = deployment.celery(*arguments)
        assert refused.returncode != 0
        assert "celery: {remote_control: true}" in refused.stderr


@pytest.mark.parametrize("celery_settings", [{"remote_control": True, "task_events": True}])
def test_celerys_own_tools_work_where_they_are_switched_on(deployment: NastyDeployment) -> None:
    """Looking and resizing work; what could lose an event is refused with what to do; a shutdown is one in order."""
    ids = deployment.publish(
        [*(f"wait{index}" for index in range(3)), *(f"slow{index}" for index in range(20))], "watched"
    )
    worker = deployment.work("--autoscale", "3,1")
    wait_until(lambda: len(deployment.said("begun")) == 3, START_S, "it has grown to three processes")
    assert "1 node online" in deployment.celery("status").stdout
    assert "pong" in deployment.celery("inspect", "ping").stdout
    ((*_, task),) = json.loads(deployment.celery("inspect", "active", "--json").stdout).values()
    # What is in an event is nobody's business who looks at workers.
    assert (task["name"], task["args"], task["queue"]) == ("testbus.deliver", [], NASTY.queue)
    assert task["event_id"] in ids.values()
    ((stats),) = json.loads(deployment.celery("inspect", "stats", "--json").stdout).values()
    assert stats["autoscaler"] == {"max": 3, "min": 1, "current": 3, "qty": stats["autoscaler"]["qty"]}
    for command in (["revoke", task["id"]], ["terminate", "KILL", task["id"]], ["cancel_consumer", NASTY.queue],
                    ["rate_limit", "testbus.deliver", "1/m"], ["add_consumer", "testbus.queue.gates"]):  # fmt: skip
        assert "is refused" in deployment.celery("control", *command).stdout
    (deployment.folder / "go").touch()
    assert "ends when its events" in deployment.celery("control", "shutdown").stdout
    assert worker.wait(SOON_S) == 0
    assert Counter(deployment.said("begun")) == Counter(deployment.said("done"))
    assert sum(deployment.left()) <= 4 * PREFETCH


@pytest.mark.parametrize("options", [("-P", "threads"), ("-P", "solo")], ids=" ".join)
def test_other_pools_and_no_queue_named(deployment: NastyDeployment, options: tuple[str, ...]) -> None:
    """Without -Q a worker serves every configured queue; it ends in order."""
    deployment.publish([f"slow{index}" for index in range(20)], options[1])
    worker = deployment.work(*options, without_queue=True)
    wait_until(lambda: len(deployment.said("done")) >= 2, START_S, "it is at work")
    assert deployment.workers("runs") == deployment.workers("gates") == 1
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(SOON_S) == 0
    assert Counter(deployment.said("begun")) == Counter(deployment.said("done"))
    assert sum(deployment.left()) <= FETCHED // 2
