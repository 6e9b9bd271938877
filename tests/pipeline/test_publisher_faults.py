"""What was confirmed survives: brokers of our own that are killed, hung, blocked and restarted."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from testbus_broker.errors import Unconfirmed
from testbus_broker.publisher import ConfirmedPublisher
from tests.pipeline.brokers import bodies, event, subscribed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.private_rabbitmq import PrivateRabbitMQ
    from testbus_broker.message import Message


class Sender(threading.Thread):
    """Publishes without end as a runner does: what was not confirmed is published again."""

    def __init__(self, publisher: ConfirmedPublisher, queue: str) -> None:
        """Take where to publish."""
        super().__init__()
        self.publisher = publisher
        self.queue = queue
        self.confirmed: list[str] = []
        self.reasons: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        """Publish batch after batch until it is enough."""
        while not self.enough.is_set():
            texts = [str(len(self.confirmed) + index) for index in range(1000)]
            self._publish([replace(event(text), exchange="", routing_key=self.queue) for text in texts])
            self.confirmed.extend(texts)

    def _publish(self, messages: Sequence[Message]) -> None:
        while messages:
            try:
                self.publisher.publish(messages, 2)
            except Unconfirmed as error:
                messages = error.unconfirmed
                self.reasons.append(error.reason)
            else:
                return


def test_a_broker_that_is_killed_in_the_middle_of_a_batch(private_rabbitmq: Callable[[], PrivateRabbitMQ]) -> None:
    """After kill -9 and restart everything that was confirmed is there, and the same publisher goes on."""
    server = private_rabbitmq()
    queue = subscribed(server.url).queue
    sender = Sender(ConfirmedPublisher(server.url, window=100), queue)
    sender.start()
    wait_until(lambda: len(sender.confirmed) > 2000, 60, "publishing is under way")
    server.kill()
    before = len(sender.confirmed)
    server.start()
    wait_until(lambda: len(sender.confirmed) > before + 1000, 60, "publishing goes on")
    sender.enough.set()
    sender.join(30)
    sender.publisher.close(5)
    # Lost with messages on their way, or not to be had when the next ones came.
    assert any("was lost" in reason or "cannot connect" in reason for reason in sender.reasons)
    assert set(bodies(server.url, queue)) >= set(sender.confirmed)


def test_a_broker_that_hangs(private_rabbitmq: Callable[[], PrivateRabbitMQ]) -> None:
    """A stopped broker costs the caller its time-out and no more; closing is bounded; later it is all taken."""
    server = private_rabbitmq()
    queue = subscribed(server.url).queue
    publisher = ConfirmedPublisher(server.url)
    messages = [replace(event(text), exchange="", routing_key=queue) for text in ("1", "2")]
    publisher.publish(messages[:1], 10)
    server.signal(signal.SIGSTOP)
    with pytest.raises(Unconfirmed, match=r"did not confirm in time \(after 0.5 s\)") as caught:
        publisher.publish(messages[1:], 0.5)
    assert caught.value.unconfirmed == (messages[1],)
    server.signal(signal.SIGCONT)
    publisher.publish(caught.value.unconfirmed, 30)
    server.signal(signal.SIGSTOP)
    publisher.close(0.2)
    server.signal(signal.SIGCONT)
    assert {"1", "2"} == set(bodies(server.url, queue))


def test_a_broker_that_is_out_of_memory(private_rabbitmq: Callable[[], PrivateRabbitMQ]) -> None:
    """While the broker blocks publishers the caller waits its time and is told; afterwards publishing goes on."""
    server = private_rabbitmq()
    queue = subscribed(server.url).queue
    publisher = ConfirmedPublisher(server.url)
    message = replace(event("1"), exchange="", routing_key=queue)
    publisher.publish([message], 10)
    server.control("set_vm_memory_high_watermark", "0.0001")
    reasons: list[str] = []

    def told() -> bool:
        try:
            publisher.publish([message], 0.5)
        except Unconfirmed as error:
            reasons.append(error.reason)
        return bool(reasons) and "blocked publishing: low on memory" in reasons[-1]

    wait_until(told, 30, "the publisher hears that it is blocked")
    server.control("set_vm_memory_high_watermark", "0.4")
    publisher.publish([message], 30)
    publisher.close(5)


def test_an_idle_publisher_outlives_a_restart(private_rabbitmq: Callable[[], PrivateRabbitMQ]) -> None:
    """A connection that died while nobody published is made again without an error."""
    server = private_rabbitmq()
    queue = subscribed(server.url).queue
    publisher = ConfirmedPublisher(server.url)
    message = replace(event("1"), exchange="", routing_key=queue)
    publisher.publish([message], 10)
    server.stop()
    server.start()
    publisher.publish([message], 30)
    publisher.close(5)
    assert bodies(server.url, queue) == ["1", "1"]
