"""What the Celery driver does with a message: published to its queue's ladder, its dead letters, or its asker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from testbus_broker import message as headers
from testbus_broker import queues
from testbus_broker.message import Message
from testbus_consumers.worker.emptiness import Emptiness

if TYPE_CHECKING:
    from testbus_broker.publisher import Publisher
    from testbus_broker.topology import Subscription
    from testbus_consumers.runtime.delivery import Answer, DeadLetter, Delay, Delivery

#: Seconds that a confirm may take.
CONFIRM_S: Final = 15.0

#: Bytes of a traceback that fit a header frame beside the rest.
_TRACEBACK_CHARS: Final = 16_000

#: Characters of an error in a header.
_ERROR_CHARS: Final = 4_000


@dataclass(frozen=True, kw_only=True)
class AmqpCourier:
    """One queue's courier on RabbitMQ."""

    #: The queue.
    subscription: Subscription
    #: Confirms what it publishes.
    publisher: Publisher
    #: URL of the broker, for looking at the queue's depth.
    url: str
    #: Whether that may be plain text to another machine.
    allow_plaintext: bool = False
    #: Since when the queue has been empty.
    emptiness: Emptiness = field(default_factory=Emptiness)

    def delay(self, delivery: Delivery, delay: Delay) -> None:
        """Publish to the step of this queue's own ladder; it dead-letters back to this queue and no other."""
        counters: dict[str, str | int] = {headers.ATTEMPT: delay.attempt, headers.DELAYS: delay.delays}
        if delay.unanswered:
            # The broker begins to count anew.
            counters[headers.UNANSWERED] = delay.unanswered
        self._publish(delivery, self.subscription.delay(delay.seconds), counters)

    def bury(self, delivery: Delivery, letter: DeadLetter) -> None:
        """Publish the raw message to this queue's dead letters."""
        told: dict[str, str | int] = {
            headers.ATTEMPT: letter.attempts,
            headers.ERROR: letter.error[:_ERROR_CHARS],
            headers.TRACEBACK: letter.traceback[-_TRACEBACK_CHARS:],
            headers.CONSUMER: self.subscription.name,
        }
        self._publish(delivery, self.subscription.dead, told)

    def answer(self, delivery: Delivery, answer: Answer) -> None:
        """Send an answer; whoever asked may have gone, and asks again if not."""
        if not delivery.reply_to:
            return
        reply = Message(
            body=answer.body,
            exchange="",
            routing_key=delivery.reply_to,
            content_type="application/json",
            correlation_id=delivery.correlation_id,
        )
        self.publisher.publish([reply], CONFIRM_S)

    def drained(self) -> bool:
        """Tell whether the queue is empty, and has been for long enough that what was fetched from it is handled."""
        return self.emptiness.lasts(self._is_empty)

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
