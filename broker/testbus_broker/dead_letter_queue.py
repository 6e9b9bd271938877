"""Dead letters at the broker: seeing what was given up and why, sending it back, throwing it away.

The dead-letter queues have no delivery limit, so that looking at them spends nothing. A message that is being looked at
is not there for anybody else until the look is over. However many there are, few are held in memory here: the broker
keeps what was looked at and left.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pika.exceptions import ChannelClosedByBroker

from testbus_broker import message as headers
from testbus_broker import queues
from testbus_broker.amqp import delivered
from testbus_broker.connection import connected, endpoint
from testbus_broker.dead_letter import EVERY, Choice, DeadLetter
from testbus_broker.errors import Unconfirmed
from testbus_broker.publisher import ConfirmedPublisher

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from testbus_broker.message import Message
    from testbus_broker.topology import Subscription

#: Messages that are sent back at a time.
BATCH: Final = 200

#: Seconds that the confirms of one batch may take.
CONFIRM_S: Final = 30.0

#: Messages that one channel takes and leaves unacknowledged; then the next channel goes on. So many may be held in
#: memory here, and with the 2,047 channels of a connection some two millions can be looked through.
PER_CHANNEL: Final = 1000

#: Seconds without a message after which there are no more: somebody else looks at the others.
IDLE_S: Final = 5.0

#: Seconds between heartbeats: long, because the caller may take its time with each message.
_HEARTBEAT_S: Final = 300

#: Headers in which the broker says why it gave up itself, and where.
_DEATH: Final = frozenset({"x-first-death-reason", "x-first-death-queue", "x-first-death-exchange"})

#: Headers that tell of the past, and would count against a message that gets a new chance.
_PAST: Final = frozenset(
    {headers.ATTEMPT, headers.DELAYS, headers.UNANSWERED}
    | {headers.ERROR, headers.TRACEBACK, headers.CONSUMER, headers.DIED}
)

#: A message on a channel, with its delivery tag.
_Taken = tuple[Any, int, DeadLetter]


def _ignore(_seen: int, _there: int) -> None:
    """Show nobody how far it is."""


def dead_letters(
    url: str,
    subscription: Subscription,
    choice: Choice = EVERY,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = _ignore,
    allow_plaintext: bool = False,
) -> Generator[DeadLetter]:
    """Yield the dead letters that are meant, up to `limit`, and leave them where they are.

    The oldest come first, until a look at more than `PER_CHANNEL` of them has changed their order: each channel gives
    back what it took when the broker gets to it.

    They are all back when the generator is closed. `progress` is called with how many were looked at, and how many
    there are. Raises QueueMissingError, ConnectFailedError, ConnectionLostError, RefusedError.
    """
    with (
        _opened(url, subscription, allow_plaintext=allow_plaintext) as connection,
        closing(_chosen(connection, subscription, choice, progress)) as found,
    ):
        for _, _, entry in islice(found, limit):
            yield entry


def redrive(
    url: str,
    subscription: Subscription,
    choice: Choice = EVERY,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = _ignore,
    allow_plaintext: bool = False,
) -> int:
    """Send dead letters back to their own queue with the same ids and no attempts; return how many.

    Those that arrive meanwhile wait for the next time. A message is removed here when the broker confirmed it there: a
    crash in between leaves it in both, and it is handled once. Raises Unconfirmed when the broker did not take some
    (they stay), and what `dead_letters` raises.
    """
    publisher = ConfirmedPublisher(url, allow_plaintext=allow_plaintext)
    count = 0
    try:
        with (
            _opened(url, subscription, allow_plaintext=allow_plaintext) as connection,
            closing(_chosen(connection, subscription, choice, progress)) as found,
        ):
            done = _Done(subscription)
            for batch in _batches(islice(found, limit)):
                count += _send_back(publisher, subscription, batch, done)
            done.settle()
    finally:
        publisher.close()
    return count


def purge(
    url: str,
    subscription: Subscription,
    choice: Choice = EVERY,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = _ignore,
    allow_plaintext: bool = False,
) -> int:
    """Throw dead letters away and return how many; raises what `dead_letters` raises."""
    if choice == EVERY and limit is None:
        return queues.purge(url, subscription.dead, allow_plaintext=allow_plaintext)
    count = 0
    with (
        _opened(url, subscription, allow_plaintext=allow_plaintext) as connection,
        closing(_chosen(connection, subscription, choice, progress)) as found,
    ):
        done = _Done(subscription)
        for batch in _batches(islice(found, limit)):
            done.acknowledge(batch)
            count += len(batch)
        done.settle()
    return count


def revived(message: Message, subscription: Subscription) -> Message:
    """Return a dead letter as it goes back to its own queue: same id and body, no attempts, its first routing key."""
    kept = {name: value for name, value in message.headers.items() if name not in _PAST | _DEATH}
    kept[headers.ROUTING_KEY] = message.first_routing_key
    return replace(message, exchange="", routing_key=subscription.queue, headers=kept)


@contextmanager
def _opened(url: str, subscription: Subscription, *, allow_plaintext: bool) -> Iterator[Any]:
    """Give a connection; what its channels took and did not acknowledge goes back when it closes."""
    with connected(url, allow_plaintext=allow_plaintext, heartbeat=_HEARTBEAT_S) as connection:
        try:
            yield connection
        except ChannelClosedByBroker as error:
            raise queues.refusal(error, subscription.dead, endpoint(url)) from error


def _chosen(
    connection: Any, subscription: Subscription, choice: Choice, progress: Callable[[int, int], None]
) -> Generator[_Taken]:
    """Yield what is meant of what is there now, unacknowledged; everything else is left unacknowledged too."""
    there = connection.channel().queue_declare(subscription.dead, passive=True).method.message_count
    seen = 0
    while seen < there:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=PER_CHANNEL)
        wanted = min(PER_CHANNEL, there - seen)
        for method, received, body in islice(channel.consume(subscription.dead, inactivity_timeout=IDLE_S), wanted):
            if method is None:
                return
            seen += 1
            progress(seen, there)
            entry = DeadLetter(message=delivered(method, received, body))
            if choice.takes(entry):
                yield channel, method.delivery_tag, entry
        # What it was sent beyond that goes back; what was looked at stays taken.
        channel.cancel()


def _batches(found: Iterable[_Taken]) -> Iterator[list[_Taken]]:
    batch = []
    for taken in found:
        batch.append(taken)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _Done:
    """Acknowledges, and makes sure in the end that every acknowledgement counts."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._channels: dict[int, Any] = {}

    def acknowledge(self, batch: Iterable[_Taken]) -> None:
        for channel, tag, _ in batch:
            channel.basic_ack(tag)
            self._channels[channel.channel_number] = channel

    def settle(self) -> None:
        """Wait until the acknowledgements are applied.

        A channel keeps more than some 32 acknowledgements of a quorum queue to itself until earlier ones are applied,
        and forgets them when it closes. A `basic.get` waits for those that are under way; what the channel kept follows
        them, and is under way at the second. What is taken by the way goes back when the channel closes: so not before
        all that is meant was taken.
        """
        for channel in self._channels.values():
            for _ in range(2):
                channel.basic_get(self._subscription.dead)


def _send_back(publisher: ConfirmedPublisher, subscription: Subscription, batch: list[_Taken], done: _Done) -> int:
    messages = [revived(entry.message, subscription) for _, _, entry in batch]
    try:
        publisher.publish(messages, CONFIRM_S)
    except Unconfirmed as error:
        left = {id(message) for message in error.unconfirmed}
        done.acknowledge(taken for taken, sent in zip(batch, messages, strict=True) if id(sent) not in left)
        done.settle()
        raise
    done.acknowledge(batch)
    return len(batch)
