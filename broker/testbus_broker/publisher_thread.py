"""The thread that owns the publisher's connection: it connects, publishes, hears confirms and keeps the heartbeat."""

from __future__ import annotations

import random
import struct
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pika
from pika.adapters.select_connection import IOLoop
from pika.exceptions import AMQPError

from testbus_broker import connection as connections
from testbus_broker.amqp import properties
from testbus_broker.connection import without_pikas_log
from testbus_broker.outstanding_confirms import Window

if TYPE_CHECKING:
    from testbus_broker.message import Message
    from testbus_broker.outstanding_confirms import Batch

#: Bounds in seconds of the pause between two attempts to connect; it doubles with each failure.
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 10.0

#: Seconds that hanging up on a silent broker may take beyond the time that was given for a close.
ABORT_S: Final = 0.5

#: Bound in bytes of one message's headers: they must fit one frame of 128 KiB, or the broker closes the connection.
MAX_HEADER_BYTES: Final = 100_000

#: How AMQP says that an account may not do something; and where a right is missing that was there yesterday.
_ACCESS_REFUSED: Final = 403
_OLD_ACCOUNT: Final = (
    "; if this testbus is newer than the broker's accounts, upgrade the consumers first, then run "
    "`testbus broker declare --users`"
)

#: What the addresses of direct reply-to begin with. RabbitMQ calls an answer unroutable even when it delivers it.
REPLY_ADDRESS: Final = "amq.rabbitmq.reply-to."


def pause(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: growing, bounded, never the same for everybody."""
    if not failures:
        return 0.0
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 16))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 spreads runners, keeps no secret


class BrokerConnection:
    """One connection and one channel, made again whenever somebody wants to publish.

    Everything but `submit`, `close`, `state` and `alive` happens in its own daemon thread.
    """

    def __init__(self, parameters: pika.ConnectionParameters, endpoint: str, window: int) -> None:
        """Start the thread; it connects when the first batch is there."""
        #: What the connection is doing, for the message of those who waited in vain.
        self.state = "not connected"
        self._parameters = parameters
        self._endpoint = endpoint
        self._window = Window(window)
        self._loop = IOLoop()
        self._connection: Any = None
        self._channel: Any = None
        self._before = ""
        self._blocked = ""
        self._failures = 0
        self._not_before = 0.0
        self._retry: Any = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="testbus-publisher", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Tell whether it can still publish."""
        return self._thread.is_alive()

    def submit(self, batch: Batch) -> None:
        """Hand over a batch; it is done when it is confirmed or given up."""
        self._loop.add_callback_threadsafe(partial(self._accept, batch))

    def close(self, timeout: float) -> None:
        """End connection and thread; when the broker does not answer within so many seconds, without it."""
        self._loop.add_callback_threadsafe(self._shut)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._loop.add_callback_threadsafe(self._abort)
            self._thread.join(ABORT_S)

    def _run(self) -> None:
        with without_pikas_log():
            try:
                self._loop.start()
            except AssertionError:
                # pika 1.4 asserts that an attempt to connect which was closed half way has succeeded.
                if not self._closing:
                    raise
            finally:
                self._window.give_up(self.state)
                self._loop.close()

    def _accept(self, batch: Batch) -> None:
        self._window.add(batch)
        self._progress()

    def _progress(self) -> None:
        """Do what can be done now: publish, connect, or wait for the time to connect."""
        if self._channel is not None:
            self._pump()
        elif self._connection is None and self._retry is None and self._window.wanted:
            wait = self._not_before - time.monotonic()
            if wait > 0:
                self._retry = self._loop.call_later(wait, self._on_retry)
            else:
                self._connect()

    def _pump(self) -> None:
        while self._channel is not None and not self._blocked and (sent := self._window.take()):
            message = sent.message
            try:
                self._publish(message)
            except (AMQPError, ValueError, TypeError, struct.error) as error:
                sent.batch.settle(sent.index, f"the message cannot be sent: {connections.explain(error)}")
            else:
                self._window.sent(sent)

    def _publish(self, message: Message) -> None:
        if sum(len(str(value)) for value in message.headers.values()) > MAX_HEADER_BYTES:
            raise ValueError(f"its headers have more than {MAX_HEADER_BYTES} bytes")
        self._channel.basic_publish(
            message.exchange,
            message.routing_key,
            message.body,
            properties(message),
            mandatory=not message.routing_key.startswith(REPLY_ADDRESS),
        )

    def _connect(self) -> None:
        self.state = f"no answer from {self._endpoint} yet{self._before}"
        self._connection = pika.SelectConnection(
            self._parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_failed,
            on_close_callback=self._on_closed,
            custom_ioloop=self._loop,
        )

    def _on_retry(self) -> None:
        self._retry = None
        self._progress()

    def _on_open(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_returned)
        channel.confirm_delivery(self._on_answered, callback=partial(self._on_ready, channel))

    def _on_ready(self, channel: Any, _frame: Any) -> None:
        self._channel = channel
        self.state = f"{self._endpoint} did not confirm in time"
        self._before = ""
        self._progress()

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self._blocked = frame.method.reason
        self.state = f"{self._endpoint} blocked publishing: {self._blocked}"

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self._blocked = ""
        self.state = f"{self._endpoint} did not confirm in time"
        self._progress()

    def _on_answered(self, frame: Any) -> None:
        answer = frame.method
        refused = answer.NAME == "Basic.Nack"
        refusal = f"{self._endpoint} refused to take the message (nack): is a queue full?" if refused else ""
        self._window.answered(answer.delivery_tag, multiple=answer.multiple, refusal=refusal)
        self._failures = 0
        self._pump()

    def _on_returned(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        reason = f"no queue at {self._endpoint} takes it ({method.reply_text}): run `testbus broker declare`"
        self._window.returned(method.exchange, method.routing_key, body, reason)

    def _on_channel_closed(self, _channel: Any, error: Exception) -> None:
        """Begin anew: the broker refused something (no such exchange, no right), and does not say which message."""
        self._channel = None
        if self._connection is not None and self._connection.is_open:
            why = f"{self._endpoint}: {connections.explain(error)}"
            if getattr(error, "reply_code", None) == _ACCESS_REFUSED:
                why += _OLD_ACCOUNT
            self._window.channel_lost(why)
            self._connection.close()

    def _on_failed(self, _connection: Any, error: Exception) -> None:
        self._disconnected(f"cannot connect to {self._endpoint}: {connections.explain(error)}")
        if connections.is_permanent(error):
            self._window.give_up(self.state)
        self._progress()

    def _on_closed(self, _connection: Any, error: Exception) -> None:
        self._disconnected(f"the connection to {self._endpoint} was lost: {connections.explain(error)}")
        self._window.channel_lost(self.state)
        self._progress()

    def _disconnected(self, why: str) -> None:
        self._connection = self._channel = None
        self._blocked = ""
        if self._closing:
            self._loop.stop()
            return
        self.state = why
        self._before = f"; before that, {why}"
        self._not_before = time.monotonic() + pause(self._failures)
        self._failures += 1

    def _shut(self) -> None:
        self._closing = True
        self.state = "the publisher was closed"
        self._window.give_up(self.state)
        if self._connection is None:
            self._loop.stop()
        elif not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()

    def _abort(self) -> None:
        transport = self._connection and self._connection._transport  # noqa: SLF001 nothing public hangs up at once
        if transport:
            transport.abort()
        else:
            self._loop.stop()
