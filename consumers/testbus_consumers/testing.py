"""For tests of consumers, ours and others': events in; settlements, derived events and dead letters out.

The real policy on a real SQLite file, with a publisher that keeps what it is given and a clock that stands still until
it is set to move. Nothing is replaced but the broker.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import select

from testbus_consumers.bootstrap import build_policy
from testbus_consumers.registry import Instance, load_consumer
from testbus_consumers.runtime.delivery import Acknowledge, Answer, DeadLetter, Delay, Delivery, Settlement, settle
from testbus_consumers.runtime.timers import run_due
from testbus_consumers.settings import Settings, parse
from testbus_consumers.store import open_store
from testbus_consumers.store.deliveries import Status
from testbus_consumers.store.migrate import upgrade
from testbus_consumers.store.tables import DELIVERY
from testbus_schemas import RunContext, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Row, Table

    from testbus_broker.message import Message
    from testbus_consumers.runtime import Consumer
    from testbus_schemas import Event, EventData


class CollectingPublisher:
    """Confirms everything, and keeps it."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.messages: list[Message] = []

    def publish(self, messages: Sequence[Message], timeout: float) -> None:  # noqa: ARG002 as every publisher
        """Keep the messages."""
        self.messages += messages

    def close(self, timeout: float) -> None:
        """Do nothing: there is no connection."""


class ConsumerHarness:
    """One consumer (or one target of it) on a folder of its own."""

    def __init__(
        self,
        consumer: Consumer,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        target: str | None = None,
        others: Mapping[str, Mapping[str, Any]] | None = None,
        state_url: str | None = None,
    ) -> None:
        """Wire the consumer with settings as they stand in the YAML file; `state_url` replaces SQLite.

        `others` are the settings of targets beside this one, for a consumer whose targets know of each other.
        """
        parsed = parse(consumer.settings, dict(settings or {}), f"consumers.{consumer.name}")
        if target is not None:
            beside = {name: parse(consumer.settings, dict(one), name) for name, one in (others or {}).items()}
            parsed = consumer.arrange({target: parsed, **beside})[target]
        instance = Instance(consumer=consumer, target=target, settings=parsed)
        self._wants = instance.subscription.wants
        self._folder = folder
        self._url = url = state_url or f"sqlite:///{folder}"
        self._now = time.time()
        self._publisher = CollectingPublisher()
        store = open_store(url, instance.queue)
        upgrade(store, consumer)
        #: The policy, as in production.
        self.policy = build_policy(
            instance, Settings(), self._publisher, store=store, state_url=url, clock=lambda: self._now
        )
        #: Every dead letter, in order.
        self.dead_letters: list[DeadLetter] = []
        #: Every delay that was asked for, in order.
        self.delays: list[Delay] = []
        #: Every answer to a request.
        self.answers: list[bytes] = []

    def __enter__(self) -> Self:
        """Return the harness."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close what is open."""
        self.close()

    def close(self) -> None:
        """Close the client and the state."""
        self.policy.close()

    @property
    def now(self) -> datetime:
        """Return the clock that stands still."""
        return datetime.fromtimestamp(self._now, UTC)

    @property
    def emitted(self) -> list[Event[EventData]]:
        """Return the derived events, in order."""
        return [decode(message.body, message.content_encoding) for message in self._publisher.messages]

    @property
    def notes(self) -> list[str]:
        """Return the notes of `Done(note)` as the ledger has them, by the time of their events."""
        done = select(DELIVERY.c.reason).where(DELIVERY.c.status == Status.DONE, DELIVERY.c.reason != "")
        with self.policy.store.begin() as connection:
            return list(connection.execute(done.order_by(DELIVERY.c.recorded_at)).scalars())

    def rows(self, table: Table) -> list[Row[Any]]:
        """Return the rows of one of the consumer's own tables."""
        with self.policy.store.begin() as connection:
            return list(connection.execute(table.select()))

    def deliver(self, *events: Event[EventData], attempt: int = 0, delays: int = 0, replay: str = "") -> Settlement:
        """Deliver events as the broker would, run what is due after each, and return the last one's settlement.

        `replay`, the id of a replay, makes them events of the past.
        """
        settlement: Settlement = Acknowledge()
        for event in events:
            encoded = encode(event)
            settlement = self.deliver_raw(
                Delivery(
                    body=encoded.body,
                    content_encoding=encoded.content_encoding,
                    routing_key=event.routing_key,
                    attempt=attempt,
                    delays=delays,
                    replay=replay,
                )
            )
        return settlement

    def decide(self, *events: Event[EventData]) -> Settlement:
        """Deliver producers' events to `runs`, on the same state, and what it decides to this consumer.

        What the consumer itself receives of the events is delivered to it first. Returns the last one's settlement.
        """
        decided = self.decisions(*events)
        return self.deliver(*(event for event in (*events, *decided) if self._wants(event.routing_key)))

    def decisions(self, *events: Event[EventData]) -> list[Event[EventData]]:
        """Deliver producers' events to `runs`, on the same state, and return what it says of them.

        For tests that deliver events and decisions in an order of their own. What a decision counts and has not come
        here is looked for again a second later: `run_timers(1)`.
        """
        with ConsumerHarness(load_consumer("runs"), self._folder, state_url=self._url) as runs:
            runs.deliver(*events)
            return runs.emitted

    def deliver_raw(self, delivery: Delivery) -> Settlement:
        """Deliver anything at all."""
        settlement = self.policy.deliver(delivery)
        settle(self, delivery, settlement)
        self.run_timers()
        return settlement

    def run_timers(self, advance_s: float = 0.0) -> int:
        """Let so many seconds pass, run every timer that is due then, and return how many those were."""
        self._now += advance_s
        ran = 0
        while run_due(self.policy, self):
            ran += 1
        return ran

    # The delivery actions.

    def delay(self, delivery: Delivery, delay: Delay) -> None:  # noqa: ARG002 as every driver
        """Keep the delay; the test decides whether to deliver again."""
        self.delays.append(delay)

    def dead_letter(self, delivery: Delivery, dead_letter: DeadLetter) -> None:  # noqa: ARG002 as every driver
        """Keep the dead letter."""
        self.dead_letters.append(dead_letter)

    def answer(self, delivery: Delivery, answer: Answer) -> None:  # noqa: ARG002 as every driver
        """Keep the answer."""
        self.answers.append(answer.body)

    def drained(self) -> bool:
        """Say that nothing waits."""
        return True


def run_context(**fields: Any) -> RunContext:
    """Return a context for tests: project `web`, run `run-1`, started now, with any field replaced."""
    return RunContext(**{"project": "web", "run": "run-1", "started_at": datetime.now(UTC)} | fields)
