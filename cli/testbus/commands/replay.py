"""`testbus replay`: sends one queue what was published before, from the stream or from the log of an embedded home."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from testbus.errors import CliError, Exit
from testbus.options import broker_or_home, echo_json, json_option, plaintext_allowed, url_option
from testbus_consumers.wording.numbers import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbus_consumers.registry import Instance
    from testbus_consumers.replay import EventSource, Filled, Plan
    from testbus_consumers.settings import Settings
    from testbus_consumers.store import Store


#: Events between two looks at the clock.
_STEP = 100

#: Seconds between two lines where nobody looks at a bar.
_LINE_S = 30.0


@contextmanager
def progress() -> Iterator[Callable[[Filled], None]]:
    """Give what shows how far a replay is on standard error: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


def print_filled(label: str, filled: Filled, *, only_counted: bool, resend: bool) -> None:
    """Print what a replay did, or would do."""
    if filled.kept:
        left = f"; {plural(filled.left, 'run')} left as before: some events of each are gone" if filled.left else ""
        recomputed = "would be recomputed" if only_counted else "to be recomputed by its worker"
        click.echo(f"{plural(filled.runs, 'run')} of {label} {recomputed}, from {filled.kept:,} kept events{left}")
        return
    begins = f"{filled.begins:%Y-%m-%d %H:%M:%S %Z}" if filled.begins else "nothing"
    click.echo(f"{plural(filled.read, 'event')} read, the oldest of {begins}; {filled.wanted:,} for {label}")
    if filled.unreadable:
        click.echo(f"{filled.unreadable:,} cannot be read and were left out")
    if filled.left:
        click.echo(f"{plural(filled.left, 'run')} left as before: some events of each were not kept")
    if filled.runs:
        click.echo(f"{plural(filled.runs, 'run')}{' would be' if only_counted else ''} reset")
        would = f"{filled.wanted:,} would be sent"
    elif resend:
        would = f"{filled.seen:,} were done and would be asked for at the target, {filled.missing:,} never came here"
    else:
        would = f"{filled.missing:,} would be sent, {filled.seen:,} were seen before"
    click.echo(would if only_counted else f"{filled.sent:,} sent, {filled.seen:,} were seen before")


def print_interrupted(filled: Filled, *, recompute: bool) -> None:
    """Say on standard error how far a replay came that did not come to its end, and how to go on."""
    if recompute:
        click.echo("not complete: repeat the same command, or runs that were reset stay without their rows", err=True)
        return
    click.echo(f"{filled.sent:,} sent so far; the same command again sends only what is missing", err=True)
    if filled.offset:
        click.echo(f"to read on where this one ended, add --from-offset {filled.offset}", err=True)


@contextmanager
def _bar() -> Iterator[Callable[[Filled], None]]:
    from rich import progress as rich  # noqa: PLC0415 only where there is somebody to look
    from rich.console import Console  # noqa: PLC0415 the same

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[rate]}"),
        rich.TimeElapsedColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None, rate="")
        began = time.monotonic()

        def show(filled: Filled) -> None:
            if filled.read % _STEP == 0:
                rate = f"{filled.sent:,} sent, {_rate(filled, began):,.0f} read/s"
                bar.update(task, completed=filled.read, total=filled.total, rate=rate)

        yield show


def _lines() -> Callable[[Filled], None]:
    began = reported_at = time.monotonic()

    def show(filled: Filled) -> None:
        nonlocal reported_at
        if filled.read % _STEP or time.monotonic() < reported_at + _LINE_S:
            return
        reported_at = time.monotonic()
        rate = _rate(filled, began)
        of = left = at = ""
        if filled.total:
            of = f" of about {filled.total:,}"
            left = f", about {max(0, filled.total - filled.read) / rate:,.0f} s left"
        if filled.offset is not None:
            at = f"; offset {filled.offset}"
        click.echo(f"{filled.read:,}{of} read, {filled.sent:,} sent, {rate:,.0f} read/s{left}{at}", err=True)

    return show


def _rate(filled: Filled, began: float) -> float:
    return filled.read / max(time.monotonic() - began, 0.001)


#: What the letters of an age stand for, in seconds.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def moment(value: str) -> datetime:
    """Return an aware time from ISO 8601 (local unless it says otherwise), or from an age such as 90m, 12h or 7d."""
    number, unit = value[:-1], value[-1:]
    if unit in _UNITS and number.isdecimal():
        return datetime.now(UTC) - timedelta(seconds=int(number) * _UNITS[unit])
    try:
        return datetime.fromisoformat(value).astimezone()
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time: write 2026-11-20, 2026-11-20T11:13Z, 90m, 12h or 7d") from None


def per_second(value: str) -> float:
    """Return a rate from `N/s`."""
    number, _, unit = value.partition("/")
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if unit not in {"", "s"} or not 0 < rate < float("inf"):
        raise click.BadParameter(f"{value!r} is no rate: write 200/s")
    return rate


@click.command()
@click.argument("consumer", metavar="CONSUMER[/TARGET]")
@click.option(
    "--since", type=moment, metavar="TIME", help="Only events recorded then or later: ISO 8601, or an age as 12h or 7d."
)
@click.option("--until", type=moment, metavar="TIME", help="Only events recorded before this time.")
@click.option("--run", metavar="RUN", help="Only this run's events.")
@click.option("--project", metavar="NAME", help="Only this project's events.")
@click.option("--type", "kind", metavar="NOUN.VERB", help="Only this type, as results.recorded.")
@click.option(
    "--recompute", is_flag=True, help="Reset the rows of every run that is selected, and handle all of it again."
)
@click.option(
    "--resend", is_flag=True, help="Ask the target for what was done, and do again what is gone; needs --yes."
)
@click.option("--yes", is_flag=True, help="Do what --resend would do.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--allow-partial", is_flag=True, help="Take what there is of a range that begins before the stream does.")
@click.option("--notify", is_flag=True, help="Also send notifications; without it replayed events send none.")
@click.option("--rate", type=per_second, metavar="N/s", help="Send no more than so many events in a second.")
@click.option("--from-offset", type=click.IntRange(min=0), metavar="N", help="Read the stream from this offset on.")
@url_option
@json_option
def replay(consumer: str, url: str | None, *, as_json: bool, yes: bool, **options: Any) -> int:
    """Send CONSUMER the published events that its queue never received; repeating it changes nothing.

    Only this queue receives them. Events keep their ids and are marked as replayed: they send no notifications, nor do
    events that follow from them. --recompute takes whole runs: those of which any event is selected.
    """
    from testbus_consumers import registry, settings  # noqa: PLC0415 for the help nothing is imported

    configured = settings.load()
    instance = _only(registry.find_with_events(configured, consumer))
    broker, home = broker_or_home(url)
    if home is not None and options["from_offset"] is not None:
        raise CliError("--from-offset is about a broker's stream: the log of an embedded pipeline has no offsets")
    unsure = options["resend"] and not yes
    with _opened(configured, instance, broker, home) as (place, store):
        plan = _plan(place, store, instance, only_count=options["dry_run"] or unsure, **options)
        _carry_out(plan)
    if as_json:
        _print_json(plan)
        return Exit.USAGE if unsure and not options["dry_run"] else Exit.OK
    print_filled(instance.label, plan.filled, only_counted=plan.dry_run, resend=options["resend"])
    if unsure and not options["dry_run"]:
        click.echo("nothing was sent: add --yes to ask the target for each, and do again what it has lost", err=True)
        return Exit.USAGE
    if home is not None and (plan.filled.sent or (plan.filled.kept and not plan.dry_run)):
        click.echo("next: testbus drain")
    return Exit.OK


def _plan(
    place: EventSource,
    store: Store,
    instance: Instance,
    *,
    only_count: bool,
    recompute: bool,
    resend: bool,
    notify: bool,
    kind: str | None,
    rate: float | None,
    from_offset: int | None,
    allow_partial: bool,
    dry_run: bool,  # noqa: ARG001 a part of only_count
    **range_: Any,
) -> Plan:
    from testbus_consumers.replay import Pace, Plan, Selection  # noqa: PLC0415 for the help nothing is imported
    from testbus_consumers.runtime.replay_mark import Mode, Replay  # noqa: PLC0415 the same
    from testbus_schemas.identity import new_id  # noqa: PLC0415 the same

    if recompute and resend:
        raise CliError("--recompute makes rows anew, --resend asks a target: one after the other")
    mode = Mode.RECOMPUTE if recompute else Mode.RESEND if resend else Mode.FILL
    plan = Plan(
        place=place,
        instance=instance,
        store=store,
        selection=Selection(type=kind, **range_),
        replay=Replay(id=new_id(), mode=mode, notify=notify),
        dry_run=only_count,
        allow_partial=allow_partial,
        begin=from_offset,
        pace=Pace(rate),
    )
    plan.validate()
    return plan


def _carry_out(plan: Plan) -> Filled:
    """Do what is planned; where it does not come to its end, say how to go on."""
    from testbus_consumers.replay import fill, recompute  # noqa: PLC0415 for the help nothing is imported
    from testbus_consumers.runtime.replay_mark import Mode  # noqa: PLC0415 the same

    anew = plan.replay.mode is Mode.RECOMPUTE
    try:
        with progress() as show:
            return (recompute if anew else fill)(plan.watched_by(show))
    except BaseException:
        if (plan.filled.sent or plan.filled.runs) and not plan.dry_run:
            print_interrupted(plan.filled, recompute=anew)
        raise


def _print_json(plan: Plan) -> None:
    replay, filled = plan.replay, plan.filled
    summary = {
        "replay": replay.id,
        "consumer": plan.instance.label,
        "mode": replay.mode.value,
        "dry_run": plan.dry_run,
        "notify": replay.notify,
    }
    echo_json({**summary, **asdict(filled), "begins": filled.begins.isoformat() if filled.begins else None})


def _only(found: tuple[Instance, ...]) -> Instance:
    if len(found) > 1:
        named = ", ".join(one.label for one in found)
        raise CliError(f"a replay fills one queue: which of {named}?")
    return found[0]


@contextmanager
def _opened(
    configured: Settings, instance: Instance, broker: str | None, home: Path | None
) -> Iterator[tuple[EventSource, Store]]:
    """Give where the past is, and the queue's state; what is open is closed."""
    if home is not None:
        from testbus_consumers.embedded.bus import open_state  # noqa: PLC0415 only what is asked for
        from testbus_consumers.replay.stream_source import LogSource  # noqa: PLC0415 the same

        store = open_state(home, instance)
        try:
            yield LogSource(home, store), store
        finally:
            store.close()
        return
    from testbus_consumers.replay.stream_source import StreamSource  # noqa: PLC0415 only what is asked for
    from testbus_consumers.store import open_store  # noqa: PLC0415 the same

    allowed = configured.broker.allow_plaintext or plaintext_allowed()
    place = StreamSource(str(broker), allow_plaintext=allowed)
    store = open_store(configured.state_url(), instance.queue)
    try:
        yield place, store
    finally:
        store.close()
        place.close()
