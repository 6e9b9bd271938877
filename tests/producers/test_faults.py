"""Faults: killed sessions and brokers that refuse or never answer cost neither results nor time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from testbus_producers import flush
from testbus_schemas import ProducerFinished, ProducerStarted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.producers.conftest import Project

#: Tests that note themselves when they begin; each is slow enough for the sender to cut between them.
NOTED = """
    import pathlib, time, pytest
    begun = pathlib.Path("begun").open("a")
    @pytest.mark.parametrize("number", range(2000))
    def test_noted(number):
        begun.write(f"{number}\\n")
        begun.flush()
        time.sleep(0.002)
"""


def _begun(project: Project) -> int:
    path = project.root / "begun"
    return len(path.read_text().splitlines()) if path.exists() else 0


def _flushing(project: Project) -> subprocess.Popen[str]:
    """Start a flush in another process; it prints how many producers it sent."""
    code = """
import sys, pathlib, testbus_producers
print(testbus_producers.flush(pathlib.Path(sys.argv[1]), sys.argv[2], 60).producers)
"""
    command = [sys.executable, "-c", code, str(project.spool), project.home.as_uri()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _check_sent_once(project: Project) -> list[str]:
    """Return the node ids of all results, after a check that nothing came twice and nothing is missing between."""
    bodies: dict[str | None, set[bytes]] = {}
    for message in project.messages():
        bodies.setdefault(message.message_id, set()).add(message.body)
    assert all(len(same) == 1 for same in bodies.values()), "an id has one body, however often it was sent"
    unique = {event.id: event for event in project.events()}
    sequences = sorted(event.data.producer.sequence for event in unique.values() if event.data.producer)
    assert sequences == list(range(1, len(unique) + 1))
    node_ids = [result.node_id for event in unique.values() for result in getattr(event.data, "results", ())]
    assert max(Counter(node_ids).values(), default=1) == 1
    return node_ids


@pytest.mark.parametrize("url", ["own", "refused"])
@pytest.mark.parametrize("after", [1, 20, 150, 700])
def test_a_killed_session_loses_nothing_that_it_said(project: Project, after: int, url: str) -> None:
    """Kill -9 at any moment, with a broker or without: a flush sends each result once, and says that it crashed."""
    project.write(test_noted=NOTED)
    process = project.start(**({"TESTBUS_URL": "amqp://127.0.0.1:1/"} if url == "refused" else {}))
    wait_until(lambda: _begun(project) >= after, 60, f"{after} tests begun")
    process.kill()
    process.wait()
    process.communicate()
    begun = _begun(project)

    report = flush(project.spool, project.home.as_uri(), 60)
    # Where its relay reaches the broker, it sends what the session left as well as a flush does.
    assert (report.remaining, report.busy, report.reason) == (0, 0, None)
    assert report.producers == 1 or url == "own"
    sent = _check_sent_once(project)
    assert {f"test_noted.py::test_noted[{number}]" for number in range(begun - 1)} <= set(sent)
    (finished,) = project.data(ProducerFinished)
    assert (finished.status, finished.reported, finished.collected) == ("crashed", len(sent), 2000)
    assert (finished.exit_status, finished.events) == (None, len({event.id for event in project.events()}))

    count = len(project.messages())
    assert flush(project.spool, project.home.as_uri(), 60).events == 0
    assert len(project.messages()) == count
    assert project.spools() == []


def test_a_test_that_ends_the_process_leaves_its_spool(project: Project) -> None:
    """Also os._exit, which runs no farewell of anybody."""
    project.write(test_exit="import os\ndef test_before(): pass\ndef test_exits(): os._exit(3)\n")
    assert project.run().status == 3
    flush(project.spool, project.home.as_uri(), 60)
    assert "test_exit.py::test_before" in project.outcomes()
    assert project.data(ProducerFinished)[0].status == "crashed"


def test_a_running_session_is_left_alone(project: Project) -> None:
    """A flush beside it sends nothing of it."""
    project.write(test_noted=NOTED)
    process = project.start(TESTBUS_URL="amqp://127.0.0.1:1/")
    wait_until(lambda: _begun(project) >= 20, 60, "20 tests begun")
    report = flush(project.spool, project.home.as_uri(), 60)
    assert (report.events, report.busy) == (0, 1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    report = flush(project.spool, project.home.as_uri(), 60)
    assert report.producers == 1
    assert project.data(ProducerFinished)[0].status == "interrupted"


def test_two_flushes_at_once_send_everything_once(project: Project) -> None:
    """Each spool is sent by one of them."""
    project.write(test_fine="def test_fine(): pass")
    for _ in range(6):
        project.run(TESTBUS_URL="amqp://127.0.0.1:1/")
    flushes = [_flushing(project) for _ in range(2)]
    sent = sum(int(process.communicate(timeout=60)[0]) for process in flushes)
    assert sent == len(project.data(ProducerStarted)) == len(project.data(ProducerFinished)) == 6
    ids = Counter(event.id for event in project.events())
    assert set(ids.values()) == {1}


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the URL of a broker that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for connection in kept:
            connection.close()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Return the URL of a broker whose machine answers nothing: the backlog of its socket is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.settimeout(0)
            one.connect_ex(server.getsockname())
        yield f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}/"
        for one in waiting:
            one.close()


@pytest.mark.parametrize("broker", ["silent", "black_hole", "refused"])
def test_a_broker_that_does_not_answer_costs_at_most_the_exit_timeout(
    project: Project, broker: str, request: pytest.FixtureRequest
) -> None:
    """The results wait in the spool, the line says where and why, and the exit status is that of the tests."""
    url = "amqp://guest:guest@127.0.0.1:1/" if broker == "refused" else request.getfixturevalue(broker)
    project.write(test_fine="def test_fine(): pass\ndef test_bad(): assert False\n")
    started = time.monotonic()
    plain = project.run("--no-testbus")
    without = time.monotonic() - started
    started = time.monotonic()
    ran = project.run("-W", "error", TESTBUS_URL=url, TESTBUS_EXIT_TIMEOUT="1")
    assert time.monotonic() - started < without * 3 + 1 + 5
    assert ran.status == plain.status == 1
    assert "2 results spooled in" in ran.line
    assert "testbus flush" in ran.line
    assert "guest:guest" not in ran.output
    report = flush(project.spool, project.home.as_uri(), 60)
    assert (report.producers, report.remaining) == (1, 0)
    assert project.outcomes() == {"test_fine.py::test_fine": "passed", "test_fine.py::test_bad": "failed"}
    assert project.data(ProducerFinished)[0].status == "finished"


def test_a_flush_that_reaches_nobody_says_what_remains(project: Project) -> None:
    """Nothing is lost by trying."""
    project.write(test_fine="def test_fine(): pass")
    project.run(TESTBUS_URL="amqp://127.0.0.1:1/")
    report = flush(project.spool, "amqp://127.0.0.1:1/", 5)
    assert (report.events, report.producers, report.remaining) == (0, 0, 1)
    assert report.reason
    assert flush(project.spool, project.home.as_uri(), 60).producers == 1


def test_a_full_spool_drops_results_and_says_so(project: Project) -> None:
    """The end counts what was dropped, and so does the line."""
    project.write(
        test_loud="""
            import pytest
            @pytest.mark.parametrize("n", range(100))
            def test_loud(n):
                print("x" * 30_000)
                assert False
        """
    )
    ran = project.run("--tb=no", TESTBUS_URL="amqp://127.0.0.1:1/", TESTBUS_SPOOL_MAX_MB="1")
    assert "did not fit into the spool" in ran.line
    flush(project.spool, project.home.as_uri(), 60)
    (finished,) = project.data(ProducerFinished)
    assert finished.reported == len(project.results())
    assert finished.reported + finished.dropped == 100
    assert finished.dropped > 0


def test_a_spool_folder_that_cannot_be_used_is_replaced(project: Project, tmp_path: Path) -> None:
    """The results go by the machine's temporary folder; the line says where they wait, and a flush finds them."""
    (tmp_path / "file").write_text("")
    (tmp_path / "elsewhere").mkdir()
    project.write(test_fine="def test_fine(): pass")
    environ = {"TESTBUS_SPOOL": str(tmp_path / "file"), "TMPDIR": str(tmp_path / "elsewhere")}
    ran = project.run(**environ, TESTBUS_URL="amqp://127.0.0.1:1/")
    assert ran.status == 0
    (spool,) = (tmp_path / "elsewhere").glob("testbus-spool-*")
    assert f"1 result spooled in {spool}" in ran.line
    assert spool.stat().st_mode & 0o077 == 0
    told = project.environ | environ
    flushed = subprocess.run([sys.executable, "-m", "testbus", "flush"], env=told, capture_output=True, check=True)
    assert flushed.stderr == b""
    assert project.outcomes() == {"test_fine.py::test_fine": "passed"}


def test_without_any_place_for_a_spool_the_tests_run_and_a_line_says_so(project: Project) -> None:
    """A process that may write no file at all still runs its tests with their exit status."""
    project.write(
        conftest="""
            import pytest, resource
            @pytest.hookimpl(wrapper=True)
            def pytest_sessionstart():
                bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, bounds[1]))
                yield
                resource.setrlimit(resource.RLIMIT_FSIZE, bounds)
        """,
        test_fine="def test_fine(): pass\ndef test_bad(): assert False\n",
    )
    ran = project.run()
    assert ran.status == 1
    assert ran.line == f"testbus: nothing was published: no spool can be made in {project.spool}: File too large"


def test_a_killed_flush_is_finished_by_the_next(project: Project) -> None:
    """Kill -9 of a flush leaves the spool to another one, with the same events."""
    project.write(test_noted=NOTED)
    process = project.start(TESTBUS_URL="amqp://127.0.0.1:1/")
    wait_until(lambda: _begun(project) >= 500, 60, "500 tests begun")
    process.kill()
    process.communicate()
    flushing = _flushing(project)
    wait_until(lambda: project.messages() or flushing.poll() is not None, 60, "something was sent")
    os.kill(flushing.pid, signal.SIGKILL)
    flushing.communicate()
    flush(project.spool, project.home.as_uri(), 60)
    _check_sent_once(project)
    assert project.spools() == []
