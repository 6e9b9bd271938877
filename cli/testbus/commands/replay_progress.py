"""Showing a replay: how far it is, what it did, and how to go on."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from testbus_consumers.wording.numbers import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbus_consumers.replay import Filled

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
    began = said = time.monotonic()

    def show(filled: Filled) -> None:
        nonlocal said
        if filled.read % _STEP or time.monotonic() < said + _LINE_S:
            return
        said = time.monotonic()
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
