"""A consumer that reads the record, and what `runs` would have kept for it: for tests that make their own decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbus_broker.topology import Subscription
from testbus_consumers.records import keeping
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.store import open_store
from testbus_consumers.store.migrate import upgrade
from testbus_consumers.store.run_key import RunKey
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import RunCompleted, RunInterrupted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from testbus_consumers.runtime import Consumer
    from testbus_consumers.runtime.delivery import Settlement
    from testbus_schemas import Event, EventData


class Recorded(ConsumerHarness):
    """One consumer; of what is delivered the record is kept first, as `runs` keeps it before anybody hears of it."""

    def __init__(
        self, consumer: Consumer, folder: Path, settings: Mapping[str, Any], *, state_url: str | None = None
    ) -> None:
        """Wire the consumer, and the state of `runs` beside its own."""
        super().__init__(consumer, folder, settings, state_url=state_url)
        self._runs = open_store(state_url or f"sqlite:///{folder}", RUNS.name)
        upgrade(self._runs, RUNS)
        self._wants = Subscription(name=consumer.name, patterns=consumer.patterns).wants
        self._places: dict[str, tuple[str, int, int]] = {}
        self._began: dict[RunKey, float] = {}

    def close(self) -> None:
        """Close both."""
        self._runs.close()
        super().close()

    def deliver(self, *events: Event[EventData], attempt: int = 0, delays: int = 0, replay: str = "") -> Settlement:
        """Keep what producers send and what is decided of it, and deliver what the consumer receives."""
        for event in events:
            self._keep(event)
        wanted = [event for event in events if self._wants(event.routing_key)]
        return super().deliver(*wanted, attempt=attempt, delays=delays, replay=replay)

    def _keep(self, event: Event[EventData]) -> None:
        data, context = event.data, event.data.context
        began = context.started_at.timestamp()
        key = RunKey.of(context)
        self._began[key] = min(began, self.now.timestamp(), self._began.get(key, began))
        with self._runs.begin() as connection:
            if data.producer is not None and data.producer.sequence is not None:
                self._places[data.producer.id] = context.variant, context.shard_index, context.attempt
                now = self.now.timestamp()
                keeping.keep_event(connection, event, None, now=now)
            elif isinstance(data, RunCompleted | RunInterrupted):
                keeping.decide(
                    connection,
                    key,
                    data.revision,
                    [
                        self._counted(name, sum(data.expected.get(name, {}).values()), name not in data.superseded)
                        for name in {*data.expected, *data.superseded}
                    ],
                    decided_at=self.now,
                    ordered_at=self._began[key],
                    status="completed",
                    stands_on="",
                )

    def _counted(self, producer: str, arrived: int, counts: bool) -> keeping.Counted:  # noqa: FBT001 as it is kept
        variant, shard, attempt = self._places.get(producer, ("default", 0, 1))
        return keeping.Counted(
            id=producer,
            variant=variant,
            shard=shard,
            attempt=attempt,
            arrived=arrived,
            events=f"1-{arrived}",
            counts=counts,
            whole=False,
        )
