"""Publishing where no broker answers: bounded, and said clearly."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from testbus_broker.errors import BrokerUrlError, Unconfirmed
from testbus_broker.event_log import EventLog
from testbus_broker.message import Message
from testbus_broker.publisher import ConfirmedPublisher, home_of, open_publisher
from testbus_broker.publisher_thread import LONGEST_PAUSE_S, pause

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENT = Message(body=b"{}", routing_key="results.recorded.shop")
SECRET = "hunter2"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Give the URL of a socket that accepts connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"amqp://u:{SECRET}@127.0.0.1:{server.getsockname()[1]}/ci"


@pytest.mark.parametrize("timeout", [0, 0.3])
def test_a_broker_that_never_answers(black_hole: str, timeout: float) -> None:
    """The caller gets everything back after its time, with the host and without the password; closing is quick."""
    publisher = ConfirmedPublisher(black_hole)
    began = time.monotonic()
    with pytest.raises(Unconfirmed) as caught:
        publisher.publish([EVENT, EVENT], timeout)
    publisher.close(2)
    assert time.monotonic() - began < timeout + 2
    assert caught.value.unconfirmed == (EVENT, EVENT)
    assert SECRET not in str(caught.value)
    if timeout:
        assert "no answer from 127.0.0.1:" in str(caught.value)


def test_a_broker_that_refuses(caplog: pytest.LogCaptureFixture) -> None:
    """While nobody listens it tries again and again until the time is over, and pika's own log stays out of it."""
    caplog.set_level(logging.DEBUG)
    publisher = ConfirmedPublisher(f"amqp://u:{SECRET}@127.0.0.1:1/ci")
    with pytest.raises(Unconfirmed, match=r"127\.0\.0\.1:1/ci: connection refused") as caught:
        publisher.publish([EVENT], 0.5)
    publisher.close(2)
    assert SECRET not in str(caught.value)
    assert [record for record in caplog.records if record.threadName == "testbus-publisher"] == []


def test_a_name_that_does_not_resolve(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown host is named, and pika's log stays out of it here too."""
    publisher = ConfirmedPublisher("amqps://u:p@broker.invalid/ci")
    with pytest.raises(Unconfirmed, match=r"broker\.invalid:5671"):
        publisher.publish([EVENT], 0.5)
    publisher.close(2)
    assert caplog.records == []


def test_a_peer_that_is_no_broker() -> None:
    """Something that hangs up on every connection is no broker, and the caller is told in time."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def hang_up() -> None:
            for _ in range(2):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        publisher = ConfirmedPublisher(f"amqp://u:{SECRET}@127.0.0.1:{server.getsockname()[1]}/ci")
        with pytest.raises(Unconfirmed, match="cannot connect to") as caught:
            publisher.publish([EVENT], 2)
        publisher.close(2)
        thread.join(5)
    assert SECRET not in str(caught.value)


def test_closing_ends_the_waiting_of_others(black_hole: str) -> None:
    """A thread that waits for confirms is let go when the publisher is closed."""
    publisher = ConfirmedPublisher(black_hole)
    reasons: list[str] = []

    def publish() -> None:
        try:
            publisher.publish([EVENT], 60)
        except Unconfirmed as error:
            reasons.append(error.reason)

    thread = threading.Thread(target=publish)
    thread.start()
    wait_until(lambda: publisher._link and "no answer" in publisher._link.state, 10, "it connects")
    publisher.close(2)
    thread.join(10)
    assert reasons == ["the publisher was closed"]


def test_nothing_to_publish_needs_no_broker(black_hole: str) -> None:
    """An empty batch returns at once, without a connection or a thread."""
    publisher = ConfirmedPublisher(black_hole)
    publisher.publish([], 60)
    publisher.close(1)
    assert "testbus-publisher" not in {thread.name for thread in threading.enumerate()}


def test_pauses_grow_and_are_bounded() -> None:
    """The first attempt comes at once, later ones after growing, varying, bounded pauses."""
    assert pause(0) == 0
    for failures in range(1, 60):
        assert 0 < pause(failures) <= min(LONGEST_PAUSE_S, 0.1 * 2**failures)
    assert len({pause(10) for _ in range(20)}) > 1


def test_the_scheme_decides(tmp_path: Path) -> None:
    """A file URL publishes to the log of a home, an amqp URL to a broker."""
    home = tmp_path / "with space"
    publisher = open_publisher(home.as_uri())
    publisher.publish([EVENT], 1)
    publisher.close(1)
    assert [message for message, _ in EventLog(home).read({})] == [EVENT]
    assert isinstance(open_publisher("amqp://localhost"), ConfirmedPublisher)


@pytest.mark.parametrize("url", ["file:relative", "file://host/path", "http:///x"])
def test_a_home_is_an_absolute_folder(url: str) -> None:
    """Anything else is refused with the form to use."""
    with pytest.raises(BrokerUrlError, match="file:///absolute/path"):
        home_of(url)
