"""The queues that one worker process serves: each with its policy, its courier and its sweeper, made after the fork."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbus_broker.publisher import open_publisher
from testbus_broker.topology import Subscription
from testbus_consumers import registry
from testbus_consumers.bootstrap import build_policy
from testbus_consumers.errors import UnknownConsumerError
from testbus_consumers.runtime.sweeper import Sweeper
from testbus_consumers.worker.courier import AmqpCourier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbus_broker.publisher import Publisher
    from testbus_consumers.runtime.breaker import Breaker
    from testbus_consumers.runtime.policy import Policy
    from testbus_consumers.settings import Settings

#: Seconds that ending one of a process's threads may take.
_STOP_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One queue in one process."""

    #: What decides.
    policy: Policy
    #: What carries out.
    courier: AmqpCourier
    #: What looks after timers and leases.
    sweeper: Sweeper


class Lanes:
    """All queues of this process."""

    def __init__(self, settings: Settings, breakers: Mapping[str, Breaker], queues: Iterable[str]) -> None:
        """Make the lanes of these queues (full names) and start their sweepers."""
        self._breakers = breakers
        url = settings.broker.url.reveal()
        self._publisher: Publisher = open_publisher(url, allow_plaintext=settings.broker.allow_plaintext)
        self._answers: Publisher = open_publisher(url, allow_plaintext=settings.broker.allow_plaintext)
        self._lanes = {queue: self._open(queue, settings, url) for queue in queues}
        for lane in self._lanes.values():
            lane.sweeper.start()

    def __getitem__(self, queue: str) -> Lane:
        """Return the lane of a queue."""
        return self._lanes[queue]

    def close(self) -> None:
        """Stop the sweepers, and close what is open."""
        for lane in self._lanes.values():
            lane.sweeper.stop(_STOP_S)
            lane.policy.close()
        self._publisher.close(_STOP_S)
        self._answers.close(_STOP_S)

    def _open(self, queue: str, settings: Settings, url: str) -> Lane:
        subscription = Subscription.from_queue(queue)
        running = {instance.queue: instance for instance in registry.instances(settings)}
        instance = running.get(subscription.name)
        if instance is None:
            raise UnknownConsumerError(
                f"queue {queue} belongs to no configured consumer; configured: {', '.join(running)}"
            )
        policy = build_policy(instance, settings, self._publisher, breaker=self._breakers[queue])
        courier = AmqpCourier(
            subscription=subscription,
            publisher=self._publisher,
            answers=self._answers,
            url=url,
            allow_plaintext=settings.broker.allow_plaintext,
        )
        return Lane(policy=policy, courier=courier, sweeper=Sweeper(policy, courier))
