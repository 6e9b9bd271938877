"""Replays of a stream that has lost its beginning to its retention."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from harness.support import wait_until
from testbus_broker import stream
from testbus_broker.connection import connected
from testbus_broker.declare import declare
from testbus_broker.message import EVENTS_EXCHANGE, message_of
from testbus_broker.publisher import ConfirmedPublisher
from testbus_broker.topology import STREAM, Topology
from testbus_consumers.registry import Instance
from testbus_consumers.replay import PartialRangeError, Plan, Selection, fill, recompute
from testbus_consumers.replay.stream_source import StreamSource
from testbus_consumers.runtime import Consumer, Done, Outcome, state
from testbus_consumers.runtime.consumer import keep_until_replaced
from testbus_consumers.runtime.delivery import Acknowledge, Delivery
from testbus_consumers.runtime.replay_mark import Mode, Replay
from testbus_consumers.settings import Section
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import ProducerFinished, ProducerStarted, ResultsRecorded, TestsCollected, encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Runs that are published, and results of each.
RUNS, RESULTS = 60, 30

#: Retention of the stream and size of its segments, in bytes: some of the runs have room.
KEPT, SEGMENT = 200_000, 50_000

#: Seconds that the broker may take to delete a segment.
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def url(own_amqp_url: str) -> str:
    """Give a broker whose stream keeps little."""
    arguments = {
        "x-queue-type": "stream",
        "x-max-length-bytes": KEPT,
        "x-stream-max-segment-size-bytes": SEGMENT,
    }
    with connected(own_amqp_url) as connection:
        channel = connection.channel()
        channel.exchange_declare(EVENTS_EXCHANGE, "topic", durable=True)
        channel.queue_declare(STREAM, durable=True, arguments=arguments)
        channel.queue_bind(STREAM, EVENTS_EXCHANGE, "#")
    declare(own_amqp_url, Topology.of([recorder().subscription]))
    return own_amqp_url


@pytest.fixture(scope="module")
def handled(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsumerHarness]:
    """Give a consumer that has handled every run, before the stream lost some of them."""
    folder: Path = tmp_path_factory.mktemp("truncated")
    with ConsumerHarness(recorder().consumer, folder) as harness, closing(ConfirmedPublisher(url)) as publisher:
        for number in range(RUNS):
            producer = FakeProducer(f"producer {number}", run=f"run-{number}")
            names = {f"test_{index}_{'x' * 60}": "passed" for index in range(RESULTS)}
            events = [producer.started(), producer.collected(*names), producer.results(**names), producer.finished()]
            publisher.publish([message_of(one) for one in events], 30)
            for event in events:
                body = encode(event)
                delivery = Delivery(body=body.body, content_encoding=None, routing_key=event.routing_key)
                assert isinstance(harness.policy.deliver(delivery), Acknowledge)
        wait_until(lambda: began(url) > 0, PATIENCE_S, "the stream has lost its beginning")
        yield harness


def note(_event: Any, _state: Any) -> Outcome:
    """Do nothing with an event."""
    return Done()


class Nothing(Section):
    """No settings."""


def recorder() -> Instance:
    """Return a consumer that handles what producers send, and keeps nothing of it."""
    kinds = (ProducerStarted, TestsCollected, ResultsRecorded, ProducerFinished)
    handlers = {kind: state(note) for kind in kinds}
    consumer = Consumer(name="recorder", settings=Nothing, handlers=handlers, reset_run=keep_until_replaced)
    return Instance(consumer=consumer, target=None, settings=Nothing())


def began(url: str) -> int:
    """Return the offset of the oldest event of the stream."""
    found = stream.first(url)
    return found[0] if found else 0


def plan(url: str, handled: ConsumerHarness, *, allow_partial: bool, mode: Mode, since: datetime | None = None) -> Plan:
    """Return a plan that only counts."""
    return Plan(
        place=StreamSource(url),
        instance=recorder(),
        store=handled.policy.store,
        selection=Selection(since=since),
        replay=Replay(id="test", mode=mode),
        dry_run=True,
        allow_partial=allow_partial,
    )


def test_a_range_that_begins_before_the_stream_is_refused_or_taken_as_far_as_it_is(
    url: str, handled: ConsumerHarness
) -> None:
    """The beginning is that of the oldest event which is still there, not of the first that ever was."""
    long_ago = datetime.now(UTC) - timedelta(days=1)
    with pytest.raises(PartialRangeError, match="--allow-partial"):
        fill(plan(url, handled, allow_partial=False, mode=Mode.FILL, since=long_ago))
    filled = fill(plan(url, handled, allow_partial=True, mode=Mode.FILL, since=long_ago))
    assert 0 < filled.wanted < RUNS * 4
    assert (filled.seen, filled.missing) == (filled.wanted, 0)
    assert filled.offset is not None
    assert filled.offset > filled.read


def test_a_run_that_lost_its_beginning_is_not_reset(url: str, handled: ConsumerHarness) -> None:
    """It is refused by name, or left as it is; the runs that are whole are recomputed."""
    # Whichever event the stream begins with, one of a run that it has only the rest of is added.
    torn = FakeProducer("torn", run="torn")
    lost, kept = torn.results(test_a="passed"), torn.results(test_b="passed")
    handled.deliver(lost, kept)
    with closing(ConfirmedPublisher(url)) as publisher:
        publisher.publish([message_of(kept)], 30)
    with pytest.raises(PartialRangeError, match="torn"):
        recompute(plan(url, handled, allow_partial=False, mode=Mode.RECOMPUTE))
    told = recompute(plan(url, handled, allow_partial=True, mode=Mode.RECOMPUTE))
    assert told.left >= 1
    assert 0 < told.runs < RUNS
