"""Workers that are killed, told to end, or stuck, and queues that go away: nothing is lost, nobody else waits."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from harness.deployment import SOON_S, START_S
from harness.support import wait_until
from testbus_broker.connection import connected
from testbus_broker.queues import depths
from testbus_broker.topology import Subscription
from testbus_consumers.worker.celery_app import PREFETCH
from tests.pipeline.nasty import NastyDeployment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NASTY = Subscription(name="nasty")

#: Events that its worker fetches ahead.
FETCHED = 2 * PREFETCH


@pytest.fixture
def deployment(tmp_path: Path, own_amqp_url: str, database_url: str) -> Iterator[NastyDeployment]:
    """Give a deployment of the nasty consumer, whose queues are empty, without a worker yet."""
    with NastyDeployment(folder=tmp_path, amqp_url=own_amqp_url, database_url=database_url) as running:
        yield running
    with connected(own_amqp_url) as connection:
        for queue in (NASTY.queue, NASTY.dead, *(NASTY.delay(step) for step in (1, 2, 3, 5))):
            connection.channel().queue_delete(queue)


def test_poison_is_given_up_with_a_reason_while_others_flow(deployment: NastyDeployment) -> None:
    """Events that end or crash their worker process: each is a dead letter in the end, and everything else is done."""
    good = [f"good{number}" for number in range(40)]
    ids = deployment.publish([*good[:20], "exit", "crash", *good[20:]], "poison")
    deployment.work()
    wait_until(lambda: set(good) <= set(deployment.said("done")), START_S + SOON_S, "the others are done")
    wait_until(lambda: deployment.depths("nasty")["dead"] == 2, 4 * SOON_S, "the poison is given up")
    told = deployment.testbus("dlq", "list", "nasty", "--json").stdout.splitlines()
    letters = {one["id"]: one["error"] for one in map(json.loads, told)}
    assert set(letters) == {ids["exit"], ids["crash"]}
    assert all("ends its worker process" in error for error in letters.values())
    assert sorted(deployment.said("done")) == sorted(good)
    assert deployment.depths("nasty")["waiting"] == 0


def test_a_worker_told_to_end_finishes_or_gives_back(deployment: NastyDeployment) -> None:
    """SIGTERM with a backlog: what was begun is done, what was fetched goes back uncounted, nothing is done twice."""
    names = [f"slow{number}" for number in range(60)]
    deployment.publish(names, "ending")
    worker = deployment.work()
    wait_until(lambda: len(deployment.said("done")) >= 4, START_S, "it is in the middle")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(SOON_S) == 0
    done = deployment.said("done")
    assert Counter(deployment.said("begun")) == Counter(done)
    left = len(names) - len(done)
    assert left > 0
    wait_until(lambda: deployment.depths("nasty")["waiting"] >= left, SOON_S, "what was given back is in the queue")
    with connected(deployment.amqp_url) as connection:
        channel = connection.channel()
        taken = [channel.basic_get(NASTY.queue) for _ in range(deployment.depths("nasty")["waiting"])]
        counts = [(properties.headers or {}).get("x-delivery-count", 0) for _, properties, _ in taken]
    # RabbitMQ itself returns, and counts, what it was handing out while it was told to stop; dropping all that was
    # fetched would count twice as many.
    assert sum(counts) <= FETCHED // 2
    deployment.work()
    wait_until(lambda: len(deployment.said("done")) == len(names), START_S + SOON_S, "the next worker does the rest")
    assert Counter(deployment.said("done")) == Counter(names)


def test_a_handler_that_hangs_is_killed_and_its_event_delivered_again(deployment: NastyDeployment) -> None:
    """By the time limit; the other process goes on meanwhile."""
    deployment.publish(["hang", "good1", "good2"], "hanging")
    deployment.work("--time-limit", "3")
    wait_until(lambda: len(deployment.said("done")) == 3, START_S + SOON_S, "all are done")
    assert deployment.said("begun").count("hang") == 2
    assert deployment.depths("nasty")["dead"] == 0


def test_a_queue_that_was_deleted_is_an_error_with_its_remedy(deployment: NastyDeployment) -> None:
    """While its worker runs: the status and the worker's log say what to do, and afterwards it goes on by itself."""
    deployment.publish(["good1"], "before")
    deployment.work()
    wait_until(lambda: deployment.said("done") == ["good1"], START_S, "it is at work")
    with connected(deployment.amqp_url) as connection:
        connection.channel().queue_delete(NASTY.queue)
    status = deployment.testbus("status").stdout
    assert "no queue: run `testbus broker declare`" in status
    log = deployment.folder / "worker-nasty.log"
    wait_until(lambda: "testbus broker declare" in log.read_text(encoding="utf-8"), SOON_S, "the worker says so")
    deployment.testbus("broker", "declare")
    deployment.publish(["good2"], "after")
    wait_until(lambda: deployment.said("done") == ["good1", "good2"], START_S + SOON_S, "it goes on")
    assert depths(deployment.amqp_url, [NASTY.queue])[NASTY.queue] is not None


def test_a_removed_consumer_drains_and_then_its_queues_go(deployment: NastyDeployment) -> None:
    """Unbound, it finishes what waits; taken out of the configuration, what is left of it is told and pruned."""
    deployment.publish(["good1", "good2"], "last")
    unbound = deployment.testbus("broker", "unbind", "nasty").stdout
    assert unbound == "nasty: nothing new arrives; 2 messages wait, 0 workers\n"
    deployment.publish(["good3"], "too late")
    assert "is still configured" in deployment.testbus("broker", "prune", "nasty", check=False).stderr
    deployment.work()
    wait_until(lambda: sorted(deployment.said("done")) == ["good1", "good2"], START_S, "it finishes what waits")
    deployment.stop("nasty")
    deployment.forget()
    assert (
        "nasty is no longer configured, 0 messages wait: testbus broker prune"
        in deployment.testbus("broker", "declare").stdout
    )
    assert "6 queues with 0 messages would be deleted" in deployment.testbus("broker", "prune", "--dry-run").stdout
    assert deployment.testbus("broker", "prune").stdout == "nasty: 6 queues with 0 messages deleted\n"
    assert depths(deployment.amqp_url, [NASTY.queue, NASTY.dead]) == {NASTY.queue: None, NASTY.dead: None}
    assert deployment.testbus("broker", "prune").stdout == "nothing to prune\n"


def test_what_still_waits_is_not_pruned(deployment: NastyDeployment) -> None:
    """The command exits 1 and says how much that is; nothing new arrives there, and only --force throws it away."""
    deployment.publish(["good1"], "left over")
    deployment.forget()
    kept = deployment.testbus("broker", "prune", "nasty", check=False)
    assert (kept.returncode, kept.stdout) == (
        1,
        "nasty: 1 message waiting: configure it again to drain it, or use --force\n",
    )
    deployment.publish(["good2"], "too late")
    assert (
        "6 queues with 1 message deleted" in deployment.testbus("broker", "prune", "nasty", "--force", "--yes").stdout
    )


def test_a_pause_stops_every_worker_and_outlives_them(deployment: NastyDeployment) -> None:
    """Nothing is consumed, neither by the worker that runs nor by one that is started later, until it is resumed."""
    worker = deployment.work()
    wait_until(lambda: deployment.workers("nasty") == 1, START_S, "it consumes")
    assert "nasty: paused since" in deployment.testbus("pause", "nasty", "--reason", "maintenance").stdout
    wait_until(lambda: deployment.workers("nasty") == 0, SOON_S, "it has stopped")
    deployment.publish(["good1", "good2"], "meanwhile")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(SOON_S) == 0
    (deployment.folder / "worker-nasty.log").unlink()
    deployment.work("-l", "info")
    log = deployment.folder / "worker-nasty.log"
    wait_until(lambda: '"event": "ready"' in log.read_text(encoding="utf-8"),
               START_S, "the next worker has begun")  # fmt: skip
    (queue,) = [
        one for one in json.loads(deployment.testbus("status", "--json").stdout)["queues"] if one["consumer"] == "nasty"
    ]
    assert (queue["depth"], queue["workers"], queue["retrying"]) == (2, 0, 0)
    assert queue["paused"]["reason"] == "maintenance"
    assert deployment.testbus("resume", "nasty").stdout == "nasty: resumed\n"
    wait_until(lambda: sorted(deployment.said("done")) == ["good1", "good2"], SOON_S, "it goes on")
