"""Looking at queues, and emptying them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pika.exceptions import ChannelClosedByBroker

from testbus_broker.connection import connected, endpoint, explain
from testbus_broker.declare import NOT_FOUND, exists
from testbus_broker.errors import QueueMissingError, RefusedError
from testbus_broker.message import EVENTS_EXCHANGE
from testbus_broker.topology import DELAY_STEPS
from testbus_schemas.catalog import EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_broker.topology import Exchange, Queue, Subscription, Topology


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How much waits in a queue."""

    #: Messages that are ready for delivery; those that were delivered and not acknowledged are not counted.
    messages: int
    #: Consumers that are attached.
    consumers: int


def depths(url: str, names: Iterable[str], *, allow_plaintext: bool = False) -> dict[str, Depth | None]:
    """Return the depth of each queue, None for one that does not exist.

    Raises ConnectFailedError, ConnectionLostError, RefusedError. For a stream the count lags behind.
    """
    with connected(url, allow_plaintext=allow_plaintext) as connection:
        return {name: _depth(connection, name, endpoint(url)) for name in names}


def purge(url: str, name: str, *, allow_plaintext: bool = False) -> int:
    """Remove what waits in a queue and return how many messages that were; QueueMissingError if there is none."""
    with connected(url, allow_plaintext=allow_plaintext) as connection:
        try:
            count: int = connection.channel().queue_purge(name).method.message_count
        except ChannelClosedByBroker as error:
            raise refusal(error, name, endpoint(url)) from error
        return count


def refusal(error: ChannelClosedByBroker, name: str, where: str) -> QueueMissingError | RefusedError:
    """Return our error for what the broker said about a queue."""
    if error.reply_code == NOT_FOUND:
        return QueueMissingError(f"there is no {name} at {where}: run `testbus broker declare`")
    return RefusedError(f"{where}: {explain(error)}")


def _depth(connection: Any, name: str, where: str) -> Depth | None:
    channel = connection.channel()
    try:
        answer = channel.queue_declare(name, passive=True).method
    except ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise refusal(error, name, where) from error
        return None
    channel.close()
    return Depth(messages=answer.message_count, consumers=answer.consumer_count)


@dataclass(frozen=True, kw_only=True)
class Remainder:
    """What is at the broker of one subscription."""

    #: `reportportal.eu`
    name: str
    #: Its queues that exist: the name, and how many messages wait.
    queues: dict[str, int]
    #: Workers that consume it.
    workers: int

    @property
    def messages(self) -> int:
        """Return how many messages wait in all of its queues."""
        return sum(self.queues.values())


def look(
    url: str, subscription: Subscription, delay_steps: Iterable[int] = (), *, allow_plaintext: bool = False
) -> Remainder:
    """Return what is there of a subscription; steps that it may have had besides the usual ones may be named.

    Raises ConnectFailedError, ConnectionLostError, RefusedError.
    """
    steps = sorted({*DELAY_STEPS, *delay_steps})
    # The queue itself first: what its retry delays still hold goes there.
    names = [subscription.queue, *(subscription.delay(step) for step in steps), subscription.dead]
    found = {name: depth for name, depth in depths(url, names, allow_plaintext=allow_plaintext).items() if depth}
    return Remainder(
        name=subscription.name,
        queues={name: depth.messages for name, depth in found.items()},
        workers=sum(depth.consumers for depth in found.values()),
    )


def unbind(url: str, subscription: Subscription, *, allow_plaintext: bool = False) -> None:
    """Let no event come to a queue any more; what waits in it stays. Raises QueueMissingError and what `look` raises.

    AMQP lists no bindings, so each that there can be is taken away.
    """
    keys = {*subscription.patterns, "#", *(f"{name}.*" for name in EVENT_TYPES)}
    with connected(url, allow_plaintext=allow_plaintext) as connection:
        try:
            channel = connection.channel()
            for key in sorted(keys):
                channel.queue_unbind(subscription.queue, EVENTS_EXCHANGE, key)
        except ChannelClosedByBroker as error:
            raise refusal(error, subscription.queue, endpoint(url)) from error


def delete(url: str, remainder: Remainder, *, allow_plaintext: bool = False) -> None:
    """Delete all queues of a remainder with what is in them; raises what `look` raises."""
    with connected(url, allow_plaintext=allow_plaintext) as connection:
        channel = connection.channel()
        for name in remainder.queues:
            channel.queue_delete(name)


def present(url: str, topology: Topology, *, allow_plaintext: bool = False) -> tuple[str, ...]:
    """Return the names of a topology's exchanges and queues that exist; raises what `look` raises."""
    with connected(url, allow_plaintext=allow_plaintext) as connection:
        try:
            everything: list[Exchange | Queue] = [*topology.exchanges, *topology.queues]
            return tuple(one.name for one in everything if exists(connection, one))
        except ChannelClosedByBroker as error:
            raise refusal(error, "testbus.*", endpoint(url)) from error


def remove(url: str, topology: Topology, *, allow_plaintext: bool = False) -> None:
    """Delete a topology with everything that is in it, the stream included; raises what `look` raises.

    For a virtual host that nobody else uses, as the demo's.
    """
    with connected(url, allow_plaintext=allow_plaintext) as connection:
        channel = connection.channel()
        try:
            # The exchanges first: nothing new comes to a queue that is about to go.
            for exchange in topology.exchanges:
                channel.exchange_delete(exchange.name)
            for queue in topology.queues:
                channel.queue_delete(queue.name)
        except ChannelClosedByBroker as error:
            raise refusal(error, "testbus.*", endpoint(url)) from error
