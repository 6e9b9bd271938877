"""Where the runners of `benchmarks.kill_points` publish, and what arrived there."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.kill_points_runner import node_id
from testbus_broker.amqp import delivered
from testbus_broker.connection import connected
from testbus_broker.declare import declare
from testbus_broker.event_log import EventLog
from testbus_broker.topology import Subscription, Topology
from testbus_schemas import ProducerFinished, ResultsRecorded, decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from testbus_broker.message import Message

#: Where a broker is looked for.
BROKER: Final = "amqp://guest:guest@127.0.0.1:5672/"

#: The one queue, which gets every event.
QUEUE: Final = Subscription(name="killpoints", patterns=("#",))


@dataclass(frozen=True, kw_only=True)
class Place:
    """A destination, with the spools of all who publish there."""

    #: Broker, or home of the embedded pipeline.
    url: str
    #: Home when it is one; None for a broker.
    home: Path | None
    #: Root of the spools.
    spool: Path

    def messages(self) -> Iterable[Message]:
        """Take everything that arrived."""
        if self.home is not None:
            return [message for message, _ in EventLog(self.home).read({})]
        return list(_taken(self.url))


@contextmanager
def places(work: Path, *, broker: bool) -> Iterator[list[Place]]:
    """Yield an embedded home, and with `broker` a virtual host of our own at the local RabbitMQ."""
    home = Place(url=(work / "home").as_uri(), home=work / "home", spool=work / "spool-home")
    rabbitmqctl = shutil.which("rabbitmqctl")
    if not broker or rabbitmqctl is None:
        yield [home]
        return
    name = f"testbus-kills-{uuid.uuid4().hex[:12]}"
    subprocess.run([rabbitmqctl, "-q", "add_vhost", name], check=True)
    try:
        subprocess.run([rabbitmqctl, "-q", "set_permissions", "-p", name, "guest", ".*", ".*", ".*"], check=True)
        yield [home, declared(f"{BROKER}{name}", work)]
    finally:
        subprocess.run([rabbitmqctl, "-q", "delete_vhost", name], check=False)


def declared(url: str, work: Path) -> Place:
    """Return a broker as a place, with its queue."""
    declare(url, Topology.of([QUEUE]))
    return Place(url=url, home=None, spool=work / "spool-broker")


@dataclass(kw_only=True)
class Found:
    """What arrived, and how it compares with what was recorded."""

    #: Events with ids of their own.
    events: int = 0
    #: Deliveries of an event that was there before: same id, same bytes.
    redelivered: int = 0
    #: Results that were recorded and did not arrive, and numbered events of a finished producer that did not.
    lost: list[str] = field(default_factory=list)
    #: Results that arrived in several events, ids that arrived with several bodies, second ends of a producer.
    duplicates: list[str] = field(default_factory=list)


def compare(messages: Iterable[Message], recorded: Mapping[int, Iterable[int]]) -> Found:
    """Hold what arrived to what was recorded: runner → indexes of its results."""
    found = Found()
    bodies: dict[str, bytes] = {}
    results: Counter[str] = Counter()
    sequences: dict[str, set[int]] = defaultdict(set)
    ends: dict[str, int] = {}
    for message in messages:
        event = decode(message.body, message.content_encoding)
        origin = event.data.producer
        if origin is None or origin.sequence is None:
            continue
        before = bodies.setdefault(event.id, message.body)
        if event.id in bodies and origin.sequence in sequences[origin.id]:
            found.redelivered += 1
            if before != message.body:
                found.duplicates.append(f"event {event.id} with two bodies")
            continue
        sequences[origin.id].add(origin.sequence)
        if isinstance(event.data, ResultsRecorded):
            results.update(result.node_id for result in event.data.results)
        elif isinstance(event.data, ProducerFinished):
            if origin.id in ends:
                found.duplicates.append(f"producer {origin.id} ended twice")
            ends[origin.id] = event.data.events
    found.events = len(bodies)
    found.duplicates += [node for node, count in results.items() if count > 1]
    for producer, numbers in sequences.items():
        missing = set(range(1, ends.get(producer, max(numbers) + 1) + 1)) - numbers
        found.lost += [f"event {number} of producer {producer}" for number in sorted(missing)]
    wanted = (node_id(number, index) for number, indexes in recorded.items() for index in indexes)
    found.lost += [node for node in wanted if not results[node]]
    return found


def _taken(url: str) -> Iterator[Message]:
    with connected(url) as connection:
        channel = connection.channel()
        while True:
            method, received, body = channel.basic_get(QUEUE.queue, auto_ack=True)
            if method is None:
                return
            yield delivered(method, received, body)
