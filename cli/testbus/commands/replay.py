"""`testbus replay`: fills one queue from the stream, or from the log of an embedded home."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from testbus.commands.common import broker_or_home, echo_json, json_option, plaintext_allowed, url_option
from testbus.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbus_consumers.registry import Instance
    from testbus_consumers.replay import Filled, Place
    from testbus_consumers.settings import Settings
    from testbus_consumers.store import Store

#: What the letters of an age stand for, in seconds.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

#: Events between two steps of the progress bar.
_STEP = 100


def moment(value: str) -> datetime:
    """Return an aware time from ISO 8601 (local unless it says otherwise), or from an age such as 90m, 12h or 7d."""
    number, unit = value[:-1], value[-1:]
    if unit in _UNITS and number.isdecimal():
        return datetime.now(UTC) - timedelta(seconds=int(number) * _UNITS[unit])
    try:
        return datetime.fromisoformat(value).astimezone()
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time: write 2026-11-20, 2026-11-20T11:13Z, 90m, 12h or 7d") from None


@click.command()
@click.argument("consumer", metavar="CONSUMER[/TARGET]")
@click.option(
    "--since", type=moment, metavar="TIME", help="Only events recorded then or later: ISO 8601, or an age as 12h or 7d."
)
@click.option("--until", type=moment, metavar="TIME", help="Only events recorded before this time.")
@click.option("--run", metavar="RUN", help="Only this run's events.")
@click.option("--project", metavar="NAME", help="Only this project's events.")
@click.option("--type", "kind", metavar="NOUN.VERB", help="Only this type, as results.recorded.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--allow-partial", is_flag=True, help="Take what there is of a range that begins before the stream does.")
@click.option("--notify", is_flag=True, help="Tell people too, as of news; without it old events stay silent.")
@url_option
@json_option
def replay(
    consumer: str,
    url: str | None,
    kind: str | None,
    *,
    dry_run: bool,
    allow_partial: bool,
    notify: bool,
    as_json: bool,
    **range_: Any,
) -> None:
    """Send CONSUMER what was published before and its queue never saw; twice changes nothing.

    Only this one queue receives. Events keep their ids and are marked as replayed: nobody is notified of them, nor of
    what follows from them.
    """
    from testbus_consumers import registry, settings  # noqa: PLC0415 for the help nothing is imported
    from testbus_consumers.replay import Selection, fill  # noqa: PLC0415 the same
    from testbus_schemas.identity import new_id  # noqa: PLC0415 the same

    configured = settings.load()
    instance = _only(registry.find(configured, consumer))
    broker, home = broker_or_home(url)
    replay_id = new_id()
    with _opened(configured, instance, broker, home) as (place, store), _progress(place) as progress:
        filled = fill(
            place,
            store,
            instance.subscription,
            Selection(type=kind, **range_),
            replay=replay_id,
            notify=notify,
            dry_run=dry_run,
            allow_partial=allow_partial,
            progress=progress,
        )
    if as_json:
        told = {"replay": replay_id, "consumer": instance.label, "dry_run": dry_run, "notify": notify}
        begins = filled.begins.isoformat() if filled.begins else None
        echo_json({**told, **asdict(filled), "begins": begins})
    else:
        _print(instance, filled, dry_run=dry_run, embedded=home is not None)


def _only(found: tuple[Instance, ...]) -> Instance:
    if len(found) > 1:
        named = ", ".join(one.label for one in found)
        raise CliError(f"a replay fills one queue: which of {named}?")
    return found[0]


@contextmanager
def _opened(
    configured: Settings, instance: Instance, broker: str | None, home: Path | None
) -> Iterator[tuple[Place, Store]]:
    """Give where the past is, and the queue's state; what is open is closed."""
    if home is not None:
        from testbus_consumers.embedded.bus import open_state  # noqa: PLC0415 only what is asked for
        from testbus_consumers.replay.at_home import HomePlace  # noqa: PLC0415 the same

        store = open_state(home, instance)
        try:
            yield HomePlace(home, store), store
        finally:
            store.close()
        return
    from testbus_consumers.replay.at_broker import BrokerPlace  # noqa: PLC0415 only what is asked for
    from testbus_consumers.store import open_store  # noqa: PLC0415 the same

    allowed = configured.broker.allow_plaintext or plaintext_allowed()
    place = BrokerPlace(str(broker), allow_plaintext=allowed)
    store = open_store(configured.state_url(), instance.queue)
    try:
        yield place, store
    finally:
        store.close()
        place.close()


@contextmanager
def _progress(place: Place) -> Iterator[Callable[[Filled], None]]:
    """Give what shows how far a replay is: a bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 only where there is somebody to look
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    speed = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), speed, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=place.total, rate="")

        def show(filled: Filled) -> None:
            if filled.read % _STEP == 0:
                speed = bar.tasks[0].speed
                rate = f"{filled.sent:,} sent" + (f", {speed:,.0f} read/s" if speed else "")
                bar.update(task, completed=filled.read, rate=rate)

        yield show


def _print(instance: Instance, filled: Filled, *, dry_run: bool, embedded: bool) -> None:
    begins = f"{filled.begins:%Y-%m-%d %H:%M:%S %Z}" if filled.begins else "nothing"
    click.echo(f"{filled.read:,} events read, the oldest of {begins}; {filled.wanted:,} are for {instance.label}")
    if filled.unreadable:
        click.echo(f"{filled.unreadable:,} cannot be read and were left out")
    if dry_run:
        click.echo(f"{filled.missing:,} would be sent, {filled.seen:,} were seen before")
        return
    click.echo(f"{filled.sent:,} sent, {filled.seen:,} were seen before")
    if embedded and filled.sent:
        click.echo("next: testbus drain")
