"""Dead letters: seeing what was given up and why, sending it back, throwing it away.

The dead-letter queues have no delivery limit, so that looking at them spends nothing. A message that is being looked at
is not there for anybody else until the look is over.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pika.exceptions import ChannelClosedByBroker

from testbus_broker import message as headers
from testbus_broker.amqp import delivered
from testbus_broker.connection import connected, endpoint
from testbus_broker.errors import Unconfirmed
from testbus_broker.publisher import ConfirmedPublisher
from testbus_broker.queues import refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from testbus_broker.message import Message
    from testbus_broker.topology import Subscription

#: Messages that are taken and sent back at a time.
BATCH: Final = 200

#: Seconds that the confirms of one batch may take.
CONFIRM_S: Final = 30.0

#: Headers in which the broker says why it gave up itself, and where.
_DEATH_REASON: Final = "x-first-death-reason"
_DEATH: Final = frozenset({_DEATH_REASON, "x-first-death-queue", "x-first-death-exchange"})

#: Headers that tell of the past, and would count against a message that gets a new chance.
_PAST: Final = frozenset({headers.ATTEMPT, headers.DELAYS, headers.ERROR, headers.TRACEBACK, headers.CONSUMER})


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One message that a consumer, or the broker for it, gave up."""

    #: The message, with all of its headers.
    message: Message

    @property
    def error(self) -> str:
        """Return why it was given up."""
        known = self.message.headers
        if headers.ERROR in known:
            return str(known[headers.ERROR])
        return f"given up by the broker: {known.get(_DEATH_REASON, 'unknown reason')}"

    @property
    def traceback(self) -> str:
        """Return the traceback; "" when there was none."""
        return str(self.message.headers.get(headers.TRACEBACK, ""))

    @property
    def attempts(self) -> int:
        """Return how many counted attempts were made."""
        return int(self.message.headers.get(headers.ATTEMPT, 0))


def listing(
    url: str, subscription: Subscription, *, limit: int = 100, allow_plaintext: bool = False
) -> list[DeadLetter]:
    """Return up to `limit` dead letters, oldest first, and leave them where they are.

    Raises QueueMissingError, ConnectFailedError, ConnectionLostError, RefusedError.
    """
    with _opened(url, subscription, allow_plaintext=allow_plaintext) as channel:
        return [DeadLetter(message=message) for _, message in _taken(channel, subscription, limit)]


def redrive(
    url: str,
    subscription: Subscription,
    *,
    ids: Collection[str] | None = None,
    limit: int | None = None,
    allow_plaintext: bool = False,
) -> int:
    """Send dead letters back to their own queue with the same ids and no attempts; return how many.

    `ids` are the message ids to send (None: all); those that arrive meanwhile wait for the next time. A message is
    removed here when the broker confirmed it there: a crash in between leaves it in both, and it is handled once.
    Raises Unconfirmed when the broker did not take some (they stay), and what `listing` raises.
    """
    publisher = ConfirmedPublisher(url, allow_plaintext=allow_plaintext)
    done = 0
    try:
        with _opened(url, subscription, allow_plaintext=allow_plaintext) as channel:
            for batch in _batches(channel, subscription, ids, limit):
                done += _send_back(channel, publisher, subscription, batch)
            _settle(channel, subscription)
    finally:
        publisher.close()
    return done


def purge(
    url: str, subscription: Subscription, *, ids: Collection[str] | None = None, allow_plaintext: bool = False
) -> int:
    """Throw dead letters away (`ids`: only these) and return how many; raises what `listing` raises."""
    done = 0
    with _opened(url, subscription, allow_plaintext=allow_plaintext) as channel:
        for batch in _batches(channel, subscription, ids, None):
            for tag, _ in batch:
                channel.basic_ack(tag)
            done += len(batch)
        _settle(channel, subscription)
    return done


def revived(message: Message, subscription: Subscription) -> Message:
    """Return a dead letter as it goes back to its own queue: same id and body, no attempts, its first routing key."""
    kept = {name: value for name, value in message.headers.items() if name not in _PAST | _DEATH}
    kept[headers.ROUTING_KEY] = message.first_routing_key
    return replace(message, exchange="", routing_key=subscription.queue, headers=kept)


@contextmanager
def _opened(url: str, subscription: Subscription, *, allow_plaintext: bool) -> Iterator[Any]:
    """Give a channel; what it took and did not acknowledge goes back when it closes."""
    with connected(url, allow_plaintext=allow_plaintext, heartbeat=300) as connection:
        try:
            yield connection.channel()
        except ChannelClosedByBroker as error:
            raise refusal(error, subscription.dead, endpoint(url)) from error


def _taken(channel: Any, subscription: Subscription, limit: int | None) -> Iterator[tuple[int, Message]]:
    """Yield (delivery tag, message) of what is there now, unacknowledged."""
    there = channel.queue_declare(subscription.dead, passive=True).method.message_count
    for _ in range(there if limit is None else min(there, limit)):
        method, received, body = channel.basic_get(subscription.dead)
        if method is None:
            return
        yield method.delivery_tag, delivered(method, received, body)


def _batches(
    channel: Any, subscription: Subscription, ids: Collection[str] | None, limit: int | None
) -> Iterator[list[tuple[int, Message]]]:
    batch = []
    for tag, message in _taken(channel, subscription, limit):
        if ids is None or message.message_id in ids:
            batch.append((tag, message))
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _send_back(
    channel: Any, publisher: ConfirmedPublisher, subscription: Subscription, batch: list[tuple[int, Message]]
) -> int:
    messages = [revived(message, subscription) for _, message in batch]
    try:
        publisher.publish(messages, CONFIRM_S)
    except Unconfirmed as error:
        left = {id(message) for message in error.unconfirmed}
        for (tag, _), message in zip(batch, messages, strict=True):
            if id(message) not in left:
                channel.basic_ack(tag)
        _settle(channel, subscription)
        raise
    for tag, _ in batch:
        channel.basic_ack(tag)
    return len(batch)


def _settle(channel: Any, subscription: Subscription) -> None:
    """Make sure that every acknowledgement counts before the channel closes.

    A channel keeps more than some 32 acknowledgements of a quorum queue to itself until earlier ones are applied, and
    forgets them when it closes. A `basic.get` waits for those that are under way; what the channel kept follows them,
    and is under way at the second. What is taken by the way goes back when the channel closes.
    """
    for _ in range(2):
        channel.basic_get(subscription.dead)
