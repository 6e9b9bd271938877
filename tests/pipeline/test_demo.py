"""The demo over real RabbitMQ with real workers: the same scenes, the same table, and nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.support import wait_until
from testbus_broker.declare import declare
from testbus_broker.message import Message
from testbus_broker.publisher import open_publisher
from testbus_broker.queues import depths, present, remove
from testbus_broker.topology import Subscription, Topology
from tests.cli.conftest import testbus as testbus  # noqa: PLC0414 the fixture is wanted here too
from tests.cli.test_demo import check

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Everything that the demo may declare.
PORTALS = ("reportportal.a", "reportportal.b", "reportportal.c")
NAMES = ("runs", "gates", "requests", "regressions", "jira", "slack", *PORTALS)
TOPOLOGY = Topology.of([Subscription(name=name) for name in NAMES], delay_steps=(1, 2, 5, 30, 120, 600))


def test_the_demo_over_rabbitmq(
    testbus: Callable[..., subprocess.CompletedProcess[str]], own_amqp_url: str, database_url: str
) -> None:
    """Declared, migrated, worked on by one Celery worker per queue; afterwards nothing of it is at the broker."""
    # A database that somebody's own workers use is none of the demo's business.
    done = testbus("demo", "--url", own_amqp_url, "--json", TESTBUS_DATABASE_URL=f"{database_url}-of-others")
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout))
    assert present(own_amqp_url, TOPOLOGY) == ()


@pytest.mark.parametrize(
    "there",
    [
        Topology.of([Subscription(name="runs", patterns=("#",)), Subscription(name="gates", patterns=("#",))]),
        Topology.of([]),
        # What is left of a pipeline whose exchanges somebody deleted.
        Topology(subscriptions=(), exchanges=(), queues=Topology.of([Subscription(name="jira")]).queues, bindings=()),
    ],
    ids=["a pipeline", "an empty pipeline", "queues alone"],
)
def test_the_demo_takes_no_part_in_a_real_pipeline(
    testbus: Callable[..., subprocess.CompletedProcess[str]], own_amqp_url: str, there: Topology
) -> None:
    """A virtual host in use is refused by its name, and what is in it stays as it is."""
    declare(own_amqp_url, there)
    name = there.queues[1].name if there.subscriptions else there.queues[0].name
    try:
        publisher = open_publisher(own_amqp_url)
        publisher.publish([Message(body=b"{}", exchange="", routing_key=name)], 10.0)
        publisher.close(5.0)
        before = present(own_amqp_url, TOPOLOGY)
        done = testbus("demo", "--url", own_amqp_url)
        assert done.returncode == 2
        assert "is in use" in done.stderr
        assert own_amqp_url.rpartition("/")[2] in done.stderr
        assert "rabbitmqctl add_vhost" in done.stderr
        assert present(own_amqp_url, TOPOLOGY) == before
        if there.subscriptions:
            assert depths(own_amqp_url, [name])[name].messages == 1  # type: ignore[union-attr] # it is there
    finally:
        remove(own_amqp_url, there)


def test_a_demo_that_is_ended_leaves_nothing_behind(own_amqp_url: str, tmp_path: Path) -> None:
    """SIGTERM in the middle of it: its workers end, and its queues go with them."""
    command = [sys.executable, "-m", "testbus", "demo", "--url", own_amqp_url, "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TESTBUS_", "PYTEST_"))}
    demo = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    queue = Subscription(name="gates").queue

    def consumed() -> bool:
        found = depths(own_amqp_url, [queue])[queue]
        return found is not None and found.consumers > 0

    wait_until(consumed, 60, "the demo's workers are at work")
    family = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGTERM)
    _, told = demo.communicate(timeout=60)
    assert demo.returncode == 130, told
    assert "Traceback" not in told
    wait_until(lambda: not any(one.is_running() for one in family), 10, "its workers are gone")
    assert present(own_amqp_url, TOPOLOGY) == ()
