"""`testbus trace`: where is my result? What each consumer did with each event of a run."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from testbus.errors import CliError
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
    from collections.abc import Sequence

    from testbus.tracing import Trace, Traced, Tracer
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
    from testbus.tracing import Tracer  # noqa: PLC0415 for the help nothing is imported
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
    from testbus.commands.pause import told  # noqa: PLC0415 for the help nothing is imported

    published = None if found.published is None else [asdict(one) for one in found.published]
    return {
        "run": run,
        "published": published,
        "consumers": {name: [asdict(row) for row in rows] for name, rows in found.consumers.items()},
        "paused": {name: told(name, found.controls.get(name))["paused"] for name in found.consumers},
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
    told: Counter[str] = Counter()
    nexts: dict[str, float] = {}
    for row in rows:
        if row.status in {"done", "waiting"} or not row.reason:
            continue
        reason = f"{row.status}: {row.reason.splitlines()[0]}"
        told[reason] += 1
        if row.next_at is not None:
            nexts[reason] = min(row.next_at, nexts.get(reason, row.next_at))
    return [
        (reason + (f", next at {clock_time(nexts[reason])}" if reason in nexts else ""), count)
        for reason, count in told.most_common(_REASONS)
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
