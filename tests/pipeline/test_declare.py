"""Declaring the topology at a real RabbitMQ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.services import unique
from harness.support import wait_until
from testbus_broker.connection import connected
from testbus_broker.declare import DeclaredState, declare
from testbus_broker.errors import ConnectFailedError, QueueMissingError, RefusedError
from testbus_broker.publisher import open_publisher
from testbus_broker.queues import depths, purge
from testbus_broker.topology import REQUESTS_EXCHANGE, STREAM, VERDICT_KEY, Subscription, Topology
from testbus_broker.verdict_requests import ask
from tests.pipeline.brokers import bodies, event, subscribed


def test_declaring_twice_changes_nothing(amqp_url: str) -> None:
    """What was created the first time is present the second time, and only consumers' queues are newborn."""
    subscription = Subscription(name=unique("t"), patterns=("run.*.*",))
    topology = Topology.of([subscription])
    first = {one.name: one for one in declare(amqp_url, topology)}
    assert first[subscription.queue].state is DeclaredState.CREATED
    assert [name for name, one in first.items() if one.newborn] == [subscription.queue]
    again = declare(amqp_url, topology)
    assert {one.state for one in again} == {DeclaredState.PRESENT}
    assert [(one.name, one.kind) for one in again][:4] == [
        ("testbus.events", "exchange"),
        ("testbus.requests", "exchange"),
        ("testbus.stream", "stream"),
        (subscription.dead, "dlq"),
    ]


def test_drift_is_reported_and_the_rest_goes_on(amqp_url: str) -> None:
    """A queue with other arguments is left alone, with what differs and what to do; later ones are declared."""
    subscription = Subscription(name=unique("t"))
    drifted = subscription.delay(5)
    with connected(amqp_url) as connection:
        arguments = {"x-queue-type": "quorum", "x-message-ttl": 7000}
        connection.channel().queue_declare(drifted, durable=True, arguments=arguments)
    found = {one.name: one for one in declare(amqp_url, Topology.of([subscription]))}
    assert found[drifted].state is DeclaredState.DRIFTED
    assert "declare again" in found[drifted].detail
    assert " is " in found[drifted].detail
    assert found[subscription.delay(600)].state is DeclaredState.CREATED


def test_an_exchange_of_another_type_is_drift(amqp_url: str) -> None:
    """An exchange that exists as another type is reported."""
    topology = Topology.of([])
    name = unique("testbus.exchange.")
    exchanges = (replace(topology.exchanges[0], name=name),)
    declare(amqp_url, replace(topology, exchanges=exchanges))
    (found,) = [
        one
        for one in declare(amqp_url, replace(topology, exchanges=(replace(exchanges[0], kind="direct"),)))
        if one.name == name
    ]
    assert (found.state, found.detail.partition(";")[0]) == (DeclaredState.DRIFTED, "type is 'topic', wanted 'direct'")


def test_an_event_reaches_the_queues_that_want_it(amqp_url: str) -> None:
    """By topic pattern, each queue gets its copy."""
    results = subscribed(amqp_url, "results.recorded.*")
    runs = subscribed(amqp_url, "run.completed.*", "results.#")
    publisher = open_publisher(amqp_url)
    publisher.publish([event("1"), event("2", "run.completed.shop"), event("3", "run.reopened.shop")], 10)
    publisher.close(5)
    assert bodies(amqp_url, results.queue) == ["1"]
    assert bodies(amqp_url, runs.queue) == ["1", "2"]


def test_a_type_that_a_consumer_no_longer_wants_does_not_come_any_more(amqp_url: str) -> None:
    """As after an upgrade: its bindings of before go, those of a pattern of its own stay."""
    before = subscribed(amqp_url, "results.recorded.*", "run.completed.*", "gate.evaluated.shop")
    declare(amqp_url, Topology.of([Subscription(name=before.name, patterns=("run.completed.*",))]))
    publisher = open_publisher(amqp_url)
    publisher.publish([event("1"), event("2", "run.completed.shop"), event("3", "gate.evaluated.shop")], 10)
    publisher.close(5)
    assert bodies(amqp_url, before.queue) == ["2", "3"]


def test_a_queue_that_took_requests_before_takes_none_any_more(amqp_url: str) -> None:
    """As after an upgrade: they go to the queue of requests alone, and nobody is asked twice."""
    before, requests = subscribed(amqp_url, "run.completed.*"), Subscription(name="requests")
    with connected(amqp_url) as connection:
        connection.channel().queue_bind(before.queue, REQUESTS_EXCHANGE, VERDICT_KEY)
    declare(amqp_url, Topology.of([requests, Subscription(name=before.name, patterns=("run.completed.*",))]))
    purge(amqp_url, requests.queue)
    assert ask(amqp_url, b"run 1", 0.1) is None
    assert bodies(amqp_url, before.queue) == []
    assert bodies(amqp_url, requests.queue) == ["run 1"]


def test_depths_of_queues(amqp_url: str) -> None:
    """Depth counts what waits, and is None for a queue that is not there."""
    subscription = subscribed(amqp_url, "results.*.depths")
    publisher = open_publisher(amqp_url)
    publisher.publish([event(str(number), "results.recorded.depths") for number in range(3)], 10)
    publisher.close(5)

    def count() -> int:
        depth = depths(amqp_url, [subscription.queue])[subscription.queue]
        assert depth is not None
        assert depth.consumers == 0
        return depth.messages

    wait_until(lambda: count() == 3, 10, "three messages wait")
    assert depths(amqp_url, ["testbus.queue.none", STREAM])["testbus.queue.none"] is None
    assert purge(amqp_url, subscription.queue) == 3
    wait_until(lambda: count() == 0, 10, "nothing waits")


def test_purging_what_is_not_there(amqp_url: str) -> None:
    """A missing queue is an error that names the remedy."""
    with pytest.raises(QueueMissingError, match="testbus broker declare"):
        purge(amqp_url, "testbus.queue.none")


def test_an_account_without_rights_is_told_so(amqp_url: str) -> None:
    """A name that this account may not declare is refused with the broker's words."""
    topology = replace(Topology.of([]), queues=(replace(Topology.of([]).queues[0], name="amq.forbidden"),))
    with pytest.raises(RefusedError, match=r"ACCESS_REFUSED.*right to configure"):
        declare(amqp_url, topology)


def test_a_virtual_host_that_is_not_there(amqp_url: str) -> None:
    """The error says that the virtual host is the problem, and does not show the password."""
    with pytest.raises(ConnectFailedError, match="virtual host") as caught:
        declare(f"{amqp_url}-none", Topology.of([]))
    assert "guest" not in str(caught.value)
