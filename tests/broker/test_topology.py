"""Topology: pure data, by the rules that were measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbus_broker.errors import SubscriptionNameError
from testbus_broker.topology import Binding, Exchange, Subscription, Topology, matches


def reference(pattern: list[str], key: list[str]) -> bool:
    """Say what AMQP 0-9-1 says about topic patterns, one word at a time."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return reference(pattern[1:], key) or (bool(key) and reference(pattern, key[1:]))
    return bool(key) and pattern[0] in {"*", key[0]} and reference(pattern[1:], key[1:])


WORDS = st.sampled_from(["a", "b", "a+", "", "runs", "ü"])


@given(pattern=st.lists(WORDS | st.sampled_from(["*", "#"]), max_size=6), key=st.lists(WORDS, max_size=6))
def test_patterns_match_by_the_rules_of_amqp(pattern: list[str], key: list[str]) -> None:
    """`*` is one word, `#` any number of words, everything else is itself."""
    words = [] if key == [""] else key
    parts = [] if pattern == [""] else pattern
    assert matches(".".join(pattern), ".".join(key)) is reference(parts, words)


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("results.recorded.*", "results.recorded.shop", True),
        ("results.#", "results.recorded.shop", True),
        ("#", "", True),
        ("*", "", False),
        ("run.*.*", "run.completed", False),
        ("run.completed.#", "run.completed", True),
        ("a.c", "abc", False),
    ],
)
def test_the_usual_patterns(pattern: str, key: str, expected: bool) -> None:  # noqa: FBT001 a column of the table
    """The patterns that consumers use match what they look like."""
    assert matches(pattern, key) is expected


def test_the_topology_of_two_consumers() -> None:
    """Exchanges, queues with their arguments, and bindings are exactly these."""
    topology = Topology.of(
        [
            Subscription(name="gates", patterns=("results.recorded.*", "run.completed.*")),
            Subscription(name="reportportal.eu", patterns=("results.recorded.*",)),
        ]
    )
    assert topology.exchanges == (
        Exchange(name="testbus.events", kind="topic"),
        Exchange(name="testbus.requests", kind="direct"),
    )
    queues = {queue.name: dict(queue.arguments) for queue in topology.queues}
    assert list(queues) == ["testbus.stream"] + [
        f"testbus.{kind.format(name)}"
        for name in ("gates", "reportportal.eu")
        for kind in ("dlq.{}", "queue.{}", "delay.{}.5", "delay.{}.30", "delay.{}.120", "delay.{}.600")
    ]
    assert queues["testbus.stream"] == {
        "x-queue-type": "stream",
        "x-max-age": "14D",
        "x-max-length-bytes": 20_000_000_000,
        "x-stream-max-segment-size-bytes": 100_000_000,
    }
    assert queues["testbus.dlq.gates"] == {"x-queue-type": "quorum"}
    assert queues["testbus.queue.reportportal.eu"] == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "testbus.dlq.reportportal.eu",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    assert queues["testbus.delay.gates.120"] == {
        "x-queue-type": "quorum",
        "x-message-ttl": 120_000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "testbus.queue.gates",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    assert topology.bindings == (
        Binding(exchange="testbus.events", queue="testbus.stream", key="#"),
        Binding(exchange="testbus.events", queue="testbus.queue.gates", key="results.recorded.*"),
        Binding(exchange="testbus.events", queue="testbus.queue.gates", key="run.completed.*"),
        Binding(exchange="testbus.events", queue="testbus.queue.reportportal.eu", key="results.recorded.*"),
    )


def test_requests_have_a_bounded_queue_that_forgets_them() -> None:
    """They are no events: none is retried or kept, an old one is of no use, and too many push out the oldest."""
    topology = Topology.of([Subscription(name="requests")], delivery_limit=7)
    (queue,) = topology.queues[1:]
    assert (queue.name, queue.kind) == ("testbus.queue.requests", "requests")
    assert queue.arguments == {
        "x-queue-type": "quorum",
        "x-message-ttl": 60_000,
        "x-max-length": 10_000,
        "x-overflow": "drop-head",
        "x-delivery-limit": 7,
    }
    assert topology.bindings[1:] == (Binding(exchange="testbus.requests", queue=queue.name, key="verdict"),)


def test_no_consumer_queue_has_a_length_limit() -> None:
    """A full queue would make the broker nack every runner, so none can be full."""
    topology = Topology.of([Subscription(name="slack", patterns=("#",))])
    for queue in topology.queues[1:]:
        assert not {"x-max-length", "x-max-length-bytes"} & set(queue.arguments)


def test_a_subscription_is_found_from_its_queue() -> None:
    """The name of a queue leads back to its dead letters and delays."""
    subscription = Subscription.from_queue("testbus.queue.reportportal.eu")
    assert (subscription.name, subscription.dead) == ("reportportal.eu", "testbus.dlq.reportportal.eu")
    assert subscription.delay(30) == "testbus.delay.reportportal.eu.30"


@pytest.mark.parametrize("name", ["", "a.b.c", "a b", "Gates", "a.", "../x", "a\n"])
def test_an_odd_name_is_refused(name: str) -> None:
    """A name that is no consumer, or consumer and target, raises an error that says the form."""
    with pytest.raises(SubscriptionNameError, match="<consumer>"):
        Subscription(name=name)


def test_an_odd_queue_is_refused() -> None:
    """The stream is no consumer's queue."""
    with pytest.raises(SubscriptionNameError, match=r"testbus\.stream"):
        Subscription.from_queue("testbus.stream")


def test_a_subscription_wants_what_its_patterns_match() -> None:
    """It wants an event when any of its patterns matches the key."""
    subscription = Subscription(name="gates", patterns=("a.*", "b.#"))
    assert [subscription.wants(key) for key in ("a.x", "b", "c")] == [True, True, False]
