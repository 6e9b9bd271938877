"""Whole sessions against brokers that block, restart, answer late or are cut off: each event once, a bounded end."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from testbus_producers import flush
from testbus_schemas import ProducerFinished, ResultsRecorded, decode
from tests.pipeline.brokers import subscribed, taken
from tests.pipeline.weak_wire import weak_wire
from tests.producers.conftest import new_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.private_rabbitmq import PrivateRabbitMQ
    from testbus_broker.topology import Subscription
    from tests.producers.conftest import Project

#: Tests that note themselves, one bad; they last for some seconds.
STEADY = """
    import pathlib, time, pytest
    begun = pathlib.Path("begun").open("a")
    @pytest.mark.parametrize("number", range(200))
    def test_steady(number):
        begun.write(f"{number}\\n")
        begun.flush()
        time.sleep(0.02)
        assert number != 7, "x" * 3000
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project with steady tests, and the exit timeout that is the default."""
    made = new_project(tmp_path)
    made.write(test_steady=STEADY)
    made.environ |= {"TESTBUS_EXIT_TIMEOUT": "2"}
    return made


def check_all_once(url: str, queue: Subscription) -> Counter[str]:
    """Check that a reader of a real queue sees the whole session once; return how often each event was delivered."""
    bodies: dict[str, bytes] = {}
    deliveries: Counter[str] = Counter()
    results: Counter[str] = Counter()
    declared, numbers = 0, set()
    for message in taken(url, queue.queue):
        event = decode(message.body, message.content_encoding)
        if event.data.producer is None or event.data.producer.sequence is None:
            continue
        deliveries[event.id] += 1
        assert bodies.setdefault(event.id, message.body) == message.body, "an id has one body, however often it is sent"
        if deliveries[event.id] > 1:
            continue
        numbers.add(event.data.producer.sequence)
        if isinstance(event.data, ResultsRecorded):
            results.update(result.node_id for result in event.data.results)
        elif isinstance(event.data, ProducerFinished):
            declared = event.data.events
            assert (event.data.status, event.data.exit_status, event.data.dropped) == ("finished", 1, 0)
    assert numbers == set(range(1, declared + 1))
    assert results == Counter({f"test_steady.py::test_steady[{number}]": 1 for number in range(200)})
    return deliveries


@pytest.mark.parametrize("seed", [1, 2])
def test_a_connection_that_is_cut_in_the_middle_of_batches(project: Project, amqp_url: str, seed: int) -> None:
    """Reset after any number of bytes, again and again: what is left goes by the next connection, or by a flush."""
    queue = subscribed(amqp_url, "#")
    rng = random.Random(seed)
    # Connecting and opening the channel takes some 600 bytes.
    cuts = [rng.randrange(700, 20_000) for _ in range(4)]
    with weak_wire(amqp_url, cuts=cuts) as url:
        ran = project.run(TESTBUS_URL=url)
    assert ran.status == 1
    assert "200 results" in ran.line
    report = flush(project.spool, amqp_url, 60)
    assert (report.remaining, report.busy) == (0, 0)
    check_all_once(amqp_url, queue)


def test_a_broker_that_confirms_late_is_not_sent_everything_again(project: Project, amqp_url: str) -> None:
    """A confirm that comes after the first, short patience counts: all is sent within the session, and once."""
    queue = subscribed(amqp_url, "#")
    project.environ |= {"TESTBUS_EXIT_TIMEOUT": "20"}
    with weak_wire(amqp_url, delay_s=0.7) as url:
        ran = project.run(TESTBUS_URL=url)
    assert ran.status == 1
    assert "200 results in" in ran.line
    assert "sent to 127.0.0.1" in ran.line
    assert set(check_all_once(amqp_url, queue).values()) == {1}


def test_a_broker_that_blocks_publishers(project: Project, private_rabbitmq: Callable[[], PrivateRabbitMQ]) -> None:
    """Out of memory for the whole session: the end is bounded, the line says why, and a flush sends everything."""
    server = private_rabbitmq()
    queue = subscribed(server.url, "#")
    started = time.monotonic()
    plain = project.run("--no-testbus")
    without = time.monotonic() - started
    server.control("set_vm_memory_high_watermark", "0.0001")
    started = time.monotonic()
    ran = project.run(TESTBUS_URL=server.url)
    assert time.monotonic() - started < without * 3 + 2 + 5
    assert ran.status == plain.status == 1
    assert "200 results spooled in" in ran.line
    assert "blocked publishing: low on memory" in ran.line
    report = flush(project.spool, server.url, 3)
    assert (report.producers, report.remaining) == (0, 1)
    server.control("set_vm_memory_high_watermark", "0.6")
    wait_until(lambda: flush(project.spool, server.url, 20).remaining == 0, 60, "the spool is sent")
    check_all_once(server.url, queue)


def test_a_broker_that_is_killed_and_comes_back(
    project: Project, private_rabbitmq: Callable[[], PrivateRabbitMQ]
) -> None:
    """Killed in the middle of the tests, and restarted: by the end, or by a flush, everything is there."""
    server = private_rabbitmq()
    queue = subscribed(server.url, "#")
    process = project.start(TESTBUS_URL=server.url)
    begun = project.root / "begun"
    wait_until(lambda: begun.exists() and len(begun.read_text().splitlines()) > 60, 60, "tests run")
    server.kill()
    server.start()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert output.count("testbus: ") == 1
    assert flush(project.spool, server.url, 60).remaining == 0
    check_all_once(server.url, queue)


def test_two_flushes_of_copies_send_what_one_would(project: Project, amqp_url: str, tmp_path: Path) -> None:
    """A spool that was copied to another host, without its lock, is sent from both: the same ids and the same bytes."""
    queue = subscribed(amqp_url, "#")
    ran = project.run(TESTBUS_URL="amqp://127.0.0.1:1/")
    assert "spooled" in ran.line
    subprocess.run(["cp", "-r", project.spool, tmp_path / "copied"], check=True)
    for lock in (tmp_path / "copied").glob("*/lock"):
        lock.unlink()
    code = "import sys, pathlib, testbus_producers as p; print(p.flush(pathlib.Path(sys.argv[1]), sys.argv[2], 60))"
    spools = (project.spool, project.spool, tmp_path / "copied", tmp_path / "copied")
    flushes = [subprocess.Popen([sys.executable, "-c", code, str(spool), amqp_url]) for spool in spools]
    assert [process.wait(60) for process in flushes] == [0] * 4
    for spool in spools[::2]:
        assert flush(spool, amqp_url, 30).events == 0
    assert set(check_all_once(amqp_url, queue).values()) == {2}
