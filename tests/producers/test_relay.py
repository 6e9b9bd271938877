"""The relay talks to the broker in a process of its own, and takes nothing with it when it ends."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil

from testbus_broker.message import Message
from testbus_producers.relay import RemoteLink
from tests.processes import free_port
from tests.support import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MESSAGE = Message(body=b"{}", routing_key="results.recorded.web", message_id="1")


def relay_of(link: RemoteLink) -> psutil.Process:
    """Return the link's process."""
    assert link._process is not None
    return psutil.Process(link._process.pid)


def test_what_a_refused_broker_did_not_confirm_is_said_with_the_reason() -> None:
    """Nothing listens: nothing is confirmed, the reason names no password, and the process goes with the link."""
    link = RemoteLink(f"amqp://guest:hunter2@127.0.0.1:{free_port()}/")
    link.prepare()
    relay = relay_of(link)
    assert link.publish([MESSAGE], 5) == frozenset()
    assert link.reason
    assert "hunter2" not in link.reason
    assert "hunter2" not in " ".join(relay.cmdline())
    link.close(5)
    wait_until(lambda: not relay.is_running(), 10, "the relay is gone")


def test_a_relay_that_is_killed_confirms_nothing() -> None:
    """The batch stays in the spool, and the next one gets a relay of its own."""
    link = RemoteLink(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    link.prepare()
    os.kill(relay_of(link).pid, signal.SIGKILL)
    assert link.publish([MESSAGE], 5) == frozenset()
    assert link.reason is not None
    assert "relay" in link.reason
    assert link.publish([MESSAGE], 5) == frozenset()
    assert "relay" not in (link.reason or "")
    link.close(5)


def test_modules_of_the_tests_do_not_reach_the_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest puts test folders first on sys.path; a file there named as a standard module must not break the relay."""
    (tmp_path / "pickle.py").write_text("raise SystemExit(1)", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    link = RemoteLink(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    assert link.publish([MESSAGE], 5) == frozenset()
    assert "relay" not in (link.reason or "")
    link.close(5)
