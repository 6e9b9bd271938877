"""The relay publishes from a process of its own that is nobody's child, and is gone soon after its producer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.processes import free_port
from harness.support import wait_until
from testbus_broker import segments
from testbus_broker.event_log import EventLog
from testbus_producers import flush, settings
from testbus_producers.producer import Producer, PublishSummary
from testbus_producers.spool.journal import JOURNAL
from testbus_schemas import ProducerFinished, decode

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from pathlib import Path


def producer_of(folder: Path, url: str, exit_timeout: str = "20") -> Producer:
    """Return a producer that publishes there, with its spool in the folder."""
    environ = {"TESTBUS_URL": url, "TESTBUS_SPOOL": str(folder / "spool"), "TESTBUS_EXIT_TIMEOUT": exit_timeout}
    return Producer(settings.read(environ=environ), tool="test", tool_version="1", folder=folder)


def relay_of(producer: Producer) -> psutil.Process:
    """Return the producer's relay, once it is at work."""
    assert producer.relay_process is not None
    journal = producer.spool.path / JOURNAL
    wait_until(lambda: journal.exists() and segments.is_owned(journal), 30, "the relay is at work")
    return psutil.Process(producer.relay_process)


def finish(producer: Producer) -> PublishSummary:
    """Say one result, and finish."""
    producer.result(b'{"node_id":"test_a.py::test_a","outcome":"passed"}')
    return producer.finish("finished", 0, None)


def test_the_relay_is_nobodys_child_and_gone_in_the_end(tmp_path: Path) -> None:
    """It is in a session of its own, and its command line has no password; all is sent, the spool is deleted."""
    producer = producer_of(tmp_path, (tmp_path / "home").as_uri())
    relay = relay_of(producer)
    assert relay.pid not in {child.pid for child in psutil.Process().children(recursive=True)}
    assert os.getsid(relay.pid) != os.getsid(0)
    farewell = finish(producer)
    assert (farewell.complete, farewell.events, farewell.sent, farewell.reason) == (True, 5, 1, None)
    assert list((tmp_path / "spool").iterdir()) == []
    wait_until(lambda: not relay.is_running(), 10, "the relay is gone")


def test_what_a_refused_broker_did_not_confirm_is_said_with_the_reason(tmp_path: Path) -> None:
    """Nothing listens: the results wait, the reason names no password, and the spool is free at once."""
    producer = producer_of(tmp_path, f"amqp://guest:hunter2@127.0.0.1:{free_port()}/", exit_timeout="3")
    relay = relay_of(producer)
    assert "hunter2" not in " ".join(relay.cmdline())
    farewell = finish(producer)
    assert not farewell.complete
    assert "no connection" in (farewell.reason or "")
    assert "hunter2" not in farewell.line()
    assert flush(tmp_path / "spool", (tmp_path / "home").as_uri(), 20).producers == 1
    wait_until(lambda: not relay.is_running(), 10, "the relay is gone")


def test_a_relay_that_was_killed_is_replaced_at_the_end(tmp_path: Path) -> None:
    """Nothing of what it had in hand is lost, and nothing comes twice."""
    producer = producer_of(tmp_path, (tmp_path / "home").as_uri())
    relay = relay_of(producer)
    relay.kill()
    wait_until(lambda: not relay.is_running(), 10, "the relay is gone")
    assert finish(producer).complete
    ids = [message.message_id for message, _ in EventLog(tmp_path / "home").read({})]
    assert len(ids) == len(set(ids)) == 5


def test_modules_of_the_tests_do_not_reach_the_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest puts test folders first on sys.path; a file there named as a standard module must not break the relay."""
    (tmp_path / "json.py").write_text("raise SystemExit(1)", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert finish(producer_of(tmp_path, (tmp_path / "home").as_uri())).complete


@pytest.mark.parametrize("broker", ["there", "away"])
def test_a_relay_ends_soon_after_a_producer_that_was_killed(tmp_path: Path, broker: str) -> None:
    """Within five seconds; a forked child that lives on keeps neither it nor the spool."""
    url = (tmp_path / "home").as_uri() if broker == "there" else f"amqp://127.0.0.1:{free_port()}/"
    code = """
import os, pathlib, signal, sys
from tests.producers.test_relay import producer_of, relay_of
folder = pathlib.Path(sys.argv[1])
producer = producer_of(folder, sys.argv[2])
producer.result(b'{"node_id":"test_a.py::test_a","outcome":"passed"}')
relay = relay_of(producer)
child = os.fork()
if not child:
    os.close(1)
    signal.pause()
print(relay.pid, child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), url],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    relay, child = map(int, ran.stdout.split())
    try:
        wait_until(lambda: not psutil.pid_exists(relay), 5 + 5, "the relay is gone")
        flushed = flush(tmp_path / "spool", (tmp_path / "home").as_uri(), 20)
        assert (flushed.producers, flushed.busy) == (int(broker == "away"), 0)
        found = [decode(message.body, message.content_encoding) for message, _ in EventLog(tmp_path / "home").read({})]
        (end,) = [event.data for event in found if isinstance(event.data, ProducerFinished)]
        assert (end.status, end.reported) == ("crashed", 1)
    finally:
        os.kill(child, signal.SIGKILL)
