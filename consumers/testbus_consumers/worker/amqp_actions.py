"""What the Celery driver does with a message: published to its queue's retry delays, its dead letters, or its asker."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from testbus_broker import message as headers
from testbus_broker import queues
from testbus_broker.errors import BrokerError
from testbus_broker.message import Message
from testbus_broker.verdict_requests import is_reply_address
from testbus_consumers.store.engine import storable

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_broker.publisher import Publisher
    from testbus_broker.topology import Subscription
    from testbus_consumers.runtime.delivery import Answer, DeadLetter, Delay, Delivery

#: Seconds that a queue has to have been empty: so long what was fetched just before may take to be handled.
SETTLED_S: Final = 5.0

#: Seconds for which an answer holds: the broker is not asked for every timer that is due.
HOLDS_S: Final = 0.5

#: Seconds between two looks after which nobody knows what was in between.
LOST_SIGHT_S: Final = 15.0


@dataclass(kw_only=True)
class DrainDetector:
    """Remembers since when a queue has been seen empty.

    The broker counts only what is ready. A worker that starts after an outage has fetched a backlog in no time, so
    that an empty queue alone would show a silence that is none. For one thread.
    """

    #: Clock, in seconds.
    clock: Callable[[], float] = time.monotonic
    _since: float | None = field(default=None, init=False)
    _looked_at: float | None = field(default=None, init=False)

    def lasts(self, is_empty: Callable[[], bool]) -> bool:
        """Tell whether the queue has been empty for long enough; `is_empty` asks the broker."""
        now = self.clock()
        if self._looked_at is not None and now - self._looked_at > LOST_SIGHT_S:
            self._since = None
        if self._looked_at is None or now - self._looked_at >= HOLDS_S:
            empty = is_empty()
            self._looked_at = now
            if not empty:
                self._since = None
            elif self._since is None:
                self._since = now
        return self._since is not None and now - self._since >= SETTLED_S


log = structlog.get_logger(__name__)

#: Seconds that a confirm may take.
CONFIRM_S: Final = 15.0

#: Seconds that an answer may take: whoever waits for it asks again soon.
ANSWER_S: Final = 3.0

#: Seconds for which nobody is answered whose address made the broker close the connection.
_SHUNNED_S: Final = 60.0

#: How a broker closes a connection over an address of direct reply-to that it cannot read.
_BROKEN: Final = "INTERNAL_ERROR"

#: Bytes of a traceback that fit a header frame beside the rest.
_TRACEBACK_CHARS: Final = 16_000

#: Characters of an error in a header.
_ERROR_CHARS: Final = 4_000


@dataclass(frozen=True, kw_only=True)
class AmqpActions:
    """The delivery actions of one queue on RabbitMQ."""

    #: The queue.
    subscription: Subscription
    #: Confirms what it publishes.
    publisher: Publisher
    #: Publishes answers, on a connection of its own: an asker can make the broker close it.
    answers: Publisher
    #: URL of the broker, for looking at the queue's depth.
    url: str
    #: Whether that may be plain text to another machine.
    allow_plaintext: bool = False
    #: Since when the queue has been empty.
    drain_detector: DrainDetector = field(default_factory=DrainDetector)
    #: Who is not answered, and until when (by the monotonic clock).
    shunned: dict[str, float] = field(default_factory=dict)

    def delay(self, delivery: Delivery, delay: Delay) -> None:
        """Publish to this queue's own retry delay; it dead-letters back to this queue and no other."""
        counters: dict[str, str | int] = {headers.ATTEMPT: delay.attempt, headers.DELAYS: delay.delays}
        if delay.unanswered:
            # The broker begins to count anew.
            counters[headers.UNANSWERED] = delay.unanswered
        self._publish(delivery, self.subscription.delay(delay.seconds), counters)

    def dead_letter(self, delivery: Delivery, dead_letter: DeadLetter) -> None:
        """Publish the raw message to this queue's dead letters."""
        dead_headers: dict[str, str | int] = {
            headers.ATTEMPT: dead_letter.attempts,
            headers.ERROR: storable(dead_letter.error, _ERROR_CHARS),
            headers.TRACEBACK: storable(dead_letter.traceback[-_TRACEBACK_CHARS:], _TRACEBACK_CHARS),
            headers.CONSUMER: self.subscription.name,
        }
        self._publish(delivery, self.subscription.dead, dead_headers)

    def answer(self, delivery: Delivery, answer: Answer) -> None:
        """Send an answer by direct reply-to, and nowhere else.

        One that cannot be sent is left out: whoever waits for it asks again.
        """
        address = delivery.reply_to or ""
        if not is_reply_address(address):
            log.warning("request not answered: its reply-to is none of direct reply-to", account=delivery.account)
            return
        if time.monotonic() < self.shunned.get(answer.asker, 0.0):
            return
        reply = Message(
            body=answer.body,
            exchange="",
            routing_key=address,
            content_type="application/json",
            correlation_id=delivery.correlation_id,
        )
        try:
            self.answers.publish([reply], ANSWER_S)
        except BrokerError as error:
            log.warning("request not answered", account=delivery.account, asker=answer.asker, error=str(error))
            if _BROKEN in str(error):
                now = time.monotonic()
                for asker in [one for one, until in self.shunned.items() if until < now]:
                    del self.shunned[asker]
                self.shunned[answer.asker] = now + _SHUNNED_S

    def drained(self) -> bool:
        """Tell whether the queue is empty, and has been for long enough that what was fetched from it is handled."""
        return self.drain_detector.lasts(self._is_empty)

    def _is_empty(self) -> bool:
        name = self.subscription.queue
        depth = queues.depths(self.url, [name], allow_plaintext=self.allow_plaintext)[name]
        return depth is not None and depth.messages == 0

    def _publish(self, delivery: Delivery, queue: str, extra: dict[str, str | int]) -> None:
        kept = {headers.ROUTING_KEY: delivery.routing_key, headers.REPLAYED: delivery.replay}
        known = {name: value for name, value in kept.items() if value}
        self.publisher.publish(
            [
                Message(
                    body=delivery.body,
                    exchange="",
                    routing_key=queue,
                    headers={**known, **extra},
                    content_encoding=delivery.content_encoding,
                    message_id=delivery.message_id,
                )
            ],
            CONFIRM_S,
        )
