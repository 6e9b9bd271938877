"""`testbus trace`: where is my result? What each consumer did with each event of a run."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from testbus.errors import CliError
from testbus.event_source import PublishedEvents
from testbus.options import (
    broker_or_home,
    clock_time,
    echo_json,
    embedded_home,
    json_option,
    plaintext_allowed,
    url_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import Settings
    from testbus_consumers.store.control import Control


#: Reasons that are shown of one kind of events with one status.
_REASONS = 3


@click.command()
@click.argument("run")
@click.option("--event", metavar="ID", help="Only this event; the beginning of its id is enough.")
@click.option("--consumer", metavar="CONSUMER[/TARGET]", help="Only this consumer.")
@click.option("--test", metavar="NODEID", help="Only the events that report this test.")
@click.option("--ledger-only", is_flag=True, help="Do not read the stream: what no consumer received is not shown.")
@click.option("--verbose", is_flag=True, help="Each event, not only how many.")
@url_option
@json_option
def trace(
    run: str,
    event: str | None,
    consumer: str | None,
    test: str | None,
    url: str | None,
    *,
    ledger_only: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Say where RUN's events are, consumer by consumer.

    waiting (published, not received yet), done, retrying (when next), dead (why), skipped or silent (why).
    """
    if test is not None and ledger_only:
        raise CliError("--test needs the stream, which tells the tests that an event reports: leave --ledger-only out")
    found = _tracer(consumer, url, stream=not ledger_only).trace(run, test=test, stream=not ledger_only)
    if test is not None and found.published is not None:
        found = found.only(frozenset(one.event_id for one in found.published if one.outcomes))
    if event is not None:
        found = found.only(frozenset(one for one in found.ids if one.startswith(event)))
    if not found.published and not any(found.consumers.values()):
        raise CliError(_unknown(run, event, test))
    if as_json:
        echo_json(_data(run, found))
    else:
        _print(found, test, verbose=verbose)


def _tracer(consumer: str | None, url: str | None, *, stream: bool) -> Tracer:

    from testbus_consumers import registry, settings  # noqa: PLC0415 the same

    configured = settings.load()
    broker, home = broker_or_home(url) if stream else (None, embedded_home(url))
    if consumer:
        instances = registry.find_with_events(configured, consumer)
    else:
        instances = tuple(one for one in registry.instances(configured) if one.handles_events)
    return Tracer(
        settings=configured,
        instances=instances,
        broker=broker,
        home=home,
        allow_plaintext=configured.broker.allow_plaintext or plaintext_allowed(),
    )


def _unknown(run: str, event: str | None, test: str | None) -> str:
    if test is not None:
        return f"no event of run {run} reports {test}: `testbus events --run {run} --json` shows what they do report"
    if event is not None:
        return f"run {run} has no event {event}: `testbus trace {run} --verbose` shows those it has"
    return (
        f"nothing is known of run {run}: nothing of it was published here, or it is older than the stream. "
        "`testbus runs` lists runs; `testbus flush` sends what a runner still has"
    )


def _data(run: str, found: Trace) -> dict[str, object]:
    from testbus.commands.pause import described  # noqa: PLC0415 for the help nothing is imported

    published = None if found.published is None else [asdict(one) for one in found.published]
    return {
        "run": run,
        "published": published,
        "consumers": {name: [asdict(row) for row in rows] for name, rows in found.consumers.items()},
        "paused": {name: described(name, found.controls.get(name))["paused"] for name in found.consumers},
    }


def _print(found: Trace, test: str | None, *, verbose: bool) -> None:
    from testbus_consumers.wording.numbers import plural  # noqa: PLC0415 as above

    if found.published is not None:
        outcomes = ", ".join(outcome for one in found.published for outcome in one.outcomes)
        reported = f", which report {test}: {outcomes}" if test else ""
        click.echo(f"{plural(len(found.published), 'event')} published{reported}")
    for name, rows in found.consumers.items():
        click.echo(f"{click.style(name, bold=True)}: {_counted(rows) or 'nothing is for it'}")
        for line in _held_back(found.controls.get(name)):
            click.echo(f"  {line}")
        if verbose:
            for row in rows:
                click.echo(f"  {_line(row)}")
            continue
        for kind in dict.fromkeys(row.type for row in rows):
            own = [row for row in rows if row.type == kind]
            click.echo(f"  {kind:20} {_counted(own)}")
            for reason, count in _reasons(own):
                click.echo(f"    {count} times: {reason}" if count > 1 else f"    {reason}")


def _counted(rows: Sequence[Traced]) -> str:
    return ", ".join(f"{n} {status}" for status, n in Counter(row.status for row in rows).items())


def _reasons(rows: Sequence[Traced]) -> list[tuple[str, int]]:
    """Return why events are not done, the most frequent first, with when they are tried again."""
    counts: Counter[str] = Counter()
    nexts: dict[str, float] = {}
    for row in rows:
        if row.status in {"done", "waiting"} or not row.reason:
            continue
        reason = f"{row.status}: {row.reason.splitlines()[0]}"
        counts[reason] += 1
        if row.next_at is not None:
            nexts[reason] = min(row.next_at, nexts.get(reason, row.next_at))
    return [
        (reason + (f", next at {clock_time(nexts[reason])}" if reason in nexts else ""), count)
        for reason, count in counts.most_common(_REASONS)
    ]


def _held_back(row: Control | None) -> list[str]:
    from testbus.commands.pause import words  # noqa: PLC0415 for the help nothing is imported
    from testbus_consumers.runtime.breaker import state_of  # noqa: PLC0415 the same

    if row is None:
        return []
    now = time.time()
    lines = [words(row.pause)] if row.pause is not None and row.paused(now) else []
    if state_of(row.health.failures, row.health.open_until, now) != "closed":
        lines.append(f"target down since {clock_time(row.health.changed_at)}: {row.health.reason}")
    return lines


def _line(row: Traced) -> str:
    when = clock_time(row.recorded_at if row.updated_at is None else row.updated_at)
    next_at = f", next at {clock_time(row.next_at)}" if row.next_at else ""
    why = f": {row.reason.splitlines()[0]}" if row.reason else ""
    return f"{when}  {row.type:18}  {row.event_id[:13]}  {row.status}{next_at}{why}"


#: Published, and not known to a consumer's ledger yet.
WAITING: Final = "waiting"

#: How much earlier than the first event that a ledger knows the stream is read: clocks differ, and queues are slow.
_BEFORE: Final = timedelta(hours=2)

#: Dead letters of a queue up to which those that the broker made are looked for among them.
_LOOKED_THROUGH: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Traced:
    """What one consumer made of one event. Instants are seconds since the epoch."""

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

    event_id: str
    #: Its type's short name.
    type: str
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

        Raises StateError. A broker that cannot be read is reported on standard error.
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
            events = PublishedEvents(broker=self.broker, home=self.home).events(mentioning=run, since=since)
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
        dead = self._dead(instance, frozenset(one.event_id for one in waiting)) if waiting else {}
        unknown = (
            Traced(
                event_id=one.event_id,
                type=one.type,
                status="dead" if one.event_id in dead else WAITING,
                reason=dead.get(one.event_id, ""),
                recorded_at=one.recorded_at,
            )
            for one in waiting
        )
        return tuple(sorted((*rows, *unknown), key=lambda row: row.recorded_at))

    def _dead(self, instance: Instance, ids: frozenset[str]) -> dict[str, str]:
        """Return what the ledger cannot know: events that the broker itself gave up, and why."""
        if self.broker is None:
            return {}
        from testbus_broker import dead_letter_queue, queues  # noqa: PLC0415 for the help nothing is imported
        from testbus_broker.dead_letter import Choice  # noqa: PLC0415 the same

        subscription = instance.subscription
        depth = queues.depths(self.broker, [subscription.dead], allow_plaintext=self.allow_plaintext)[subscription.dead]
        if depth is None or not 0 < depth.messages <= _LOOKED_THROUGH:
            return {}
        found = dead_letter_queue.dead_letters(
            self.broker, subscription, Choice(ids=ids), allow_plaintext=self.allow_plaintext
        )
        return {str(entry.message.message_id): entry.error for entry in found}


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
