"""Where a run's events are: what was published, held against what each consumer's ledger knows of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from testbus.event_source import Published

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import Settings
    from testbus_consumers.store.control import Control

#: Published, and not known to a consumer's ledger yet.
WAITING: Final = "waiting"

#: How much earlier than the first event that a ledger knows the stream is read: clocks differ, and queues are slow.
_BEFORE: Final = timedelta(hours=2)

#: Dead letters of a queue up to which those that the broker made are looked for among them.
_LOOKED_THROUGH: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Traced:
    """What one consumer made of one event. Instants are seconds since the epoch."""

    #: The event.
    event_id: str
    #: Its type's short name.
    type: str
    #: done, skipped, silent, retrying, dead, or waiting.
    status: str
    #: Counted attempts.
    attempts: int = 0
    #: Note, or error.
    reason: str = ""
    #: When it is tried again.
    next_at: float | None = None
    #: When its producer made it.
    recorded_at: float
    #: When this last changed; None while it waits.
    updated_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One event of the run, as it was published."""

    #: The event.
    event_id: str
    #: Its type's short name.
    type: str
    #: Its routing key.
    routing_key: str
    #: When its producer made it, in seconds since the epoch.
    recorded_at: float
    #: Outcomes of the test that was asked for, as far as this event reports them.
    outcomes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trace:
    """All that is known."""

    #: What was published, oldest first; None when that could not be read, or was not to be.
    published: tuple[Sighting, ...] | None
    #: What each consumer made of it, by its name on the command line.
    consumers: Mapping[str, tuple[Traced, ...]]
    #: Each consumer's control row.
    controls: Mapping[str, Control | None] = field(default_factory=dict)

    @property
    def ids(self) -> frozenset[str]:
        """Return every event that anybody knows."""
        published = {one.event_id for one in self.published or ()}
        return frozenset(published | {row.event_id for rows in self.consumers.values() for row in rows})

    def only(self, wanted: frozenset[str]) -> Trace:
        """Return the trace of these events alone."""
        published = None if self.published is None else tuple(one for one in self.published if one.event_id in wanted)
        consumers = {
            name: tuple(row for row in rows if row.event_id in wanted) for name, rows in self.consumers.items()
        }
        return replace(self, published=published, consumers=consumers)


@dataclass(frozen=True, kw_only=True)
class Tracer:
    """Knows where to look."""

    #: The configuration.
    settings: Settings
    #: The consumers that are asked about.
    instances: tuple[Instance, ...]
    #: URL of the broker; None for the embedded pipeline.
    broker: str | None
    #: Folder of the embedded pipeline.
    home: Path | None
    #: Whether a plain connection to another machine is allowed.
    allow_plaintext: bool = False

    def trace(self, run: str, *, test: str | None = None, stream: bool = True) -> Trace:
        """Return where the run's events are; `test` (a node id) is looked for in them.

        Raises StateError. A broker that cannot be read is told on standard error.
        """
        from testbus_consumers import overview  # noqa: PLC0415 for the help nothing is imported

        state = f"sqlite:///{self.home / 'state'}" if self.home else self.settings.state_url()
        labels = {one.label for one in self.instances}
        known = {
            name: tuple(Traced(**asdict(row) | {"status": row.status.value}) for row in rows)
            for name, rows in overview.of_run(self.settings, run, state).items()
            if name in labels
        }
        controls = overview.controls(self.settings, state)
        first = min((row.recorded_at for rows in known.values() for row in rows), default=None)
        published = self._published(run, first, test) if stream else None
        if published is not None:
            known = {one.label: self._with_waiting(one, known[one.label], published) for one in self.instances}
        return Trace(published=published, consumers=known, controls=controls)

    def _published(self, run: str, first: float | None, test: str | None) -> tuple[Sighting, ...] | None:
        from testbus_broker.errors import BrokerError  # noqa: PLC0415 for the help nothing is imported

        since = None if first is None else datetime.fromtimestamp(first, UTC) - _BEFORE
        try:
            events = Published(broker=self.broker, home=self.home).events(mentioning=run, since=since)
            return tuple(_sighting(event, test) for _, event in events if event.subject == run)
        except BrokerError as error:
            click.echo(f"testbus: the stream cannot be read, so what waits is not known: {error}", err=True)
            return None

    def _with_waiting(
        self, instance: Instance, rows: tuple[Traced, ...], published: Iterable[Sighting]
    ) -> tuple[Traced, ...]:
        seen = {row.event_id for row in rows}
        subscription = instance.subscription
        waiting = [one for one in published if one.event_id not in seen and subscription.wants(one.routing_key)]
        buried = self._buried(instance, frozenset(one.event_id for one in waiting)) if waiting else {}
        unknown = (
            Traced(
                event_id=one.event_id,
                type=one.type,
                status="dead" if one.event_id in buried else WAITING,
                reason=buried.get(one.event_id, ""),
                recorded_at=one.recorded_at,
            )
            for one in waiting
        )
        return tuple(sorted((*rows, *unknown), key=lambda row: row.recorded_at))

    def _buried(self, instance: Instance, ids: frozenset[str]) -> dict[str, str]:
        """Return what the ledger cannot know: events that the broker itself gave up, and why."""
        if self.broker is None:
            return {}
        from testbus_broker import dead_letter_queue, queues  # noqa: PLC0415 for the help nothing is imported
        from testbus_broker.dead_letter import Choice  # noqa: PLC0415 the same

        subscription = instance.subscription
        depth = queues.depths(self.broker, [subscription.dead], allow_plaintext=self.allow_plaintext)[subscription.dead]
        if depth is None or not 0 < depth.messages <= _LOOKED_THROUGH:
            return {}
        found = dead_letter_queue.letters(
            self.broker, subscription, Choice(ids=ids), allow_plaintext=self.allow_plaintext
        )
        return {str(letter.message.message_id): letter.error for letter in found}


def _sighting(event: Any, test: str | None) -> Sighting:
    from testbus_schemas import ResultsRecorded  # noqa: PLC0415 for the help nothing is imported

    outcomes: tuple[str, ...] = ()
    if test is not None and isinstance(event.data, ResultsRecorded):
        outcomes = tuple(result.outcome.value for result in event.data.results if result.node_id == test)
    return Sighting(
        event_id=event.id,
        type=event.name,
        routing_key=event.routing_key,
        recorded_at=event.time.timestamp(),
        outcomes=outcomes,
    )
