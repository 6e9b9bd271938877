"""`testbus dlq`: what was given up, and what to do with it."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import TYPE_CHECKING, Any

import click

from testbus.commands.replay import moment
from testbus.errors import CliError, Exit
from testbus.options import (
    broker_or_home,
    duration,
    echo_json,
    instant,
    json_option,
    plaintext_allowed,
    url_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta
    from pathlib import Path

    from testbus_broker.dead_letter import Choice, DeadLetter
    from testbus_consumers.registry import Instance

#: Dead letters between two steps of the progress bar.
_STEP = 100

#: Dead letters that are printed by default.
_LISTED, _SHOWN = 1000, 20

#: Characters of the column of types and projects.
_NAME_CHARS = 28

_FILTERS = (
    click.option("--id", "ids", multiple=True, metavar="EVENT", help="Only this event; repeatable."),
    click.option("--error", metavar="TEXT", help="Only those whose error contains this."),
    click.option("--type", "kind", metavar="NOUN.VERB", help="Only this type, as results.recorded."),
    click.option("--run", metavar="RUN", help="Only this run's."),
    click.option("--project", metavar="NAME", help="Only this project's."),
    click.option(
        "--since", type=moment, metavar="TIME", help="Only those given up then or later: ISO 8601, or an age as 12h."
    ),
    click.option("--older-than", type=duration, metavar="AGE", help="Only those given up longer ago, as 7d."),
)


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and the options that say which dead letters are meant."""
    options = reduce(lambda wrapped, option: option(wrapped), reversed(_FILTERS), command)
    return click.argument("consumer", metavar="CONSUMER[/TARGET]")(options)


def limit_option(default: int | None) -> Callable[..., Any]:
    """Return `--limit`."""
    shown = f"{default}; 0: all" if default else "all"
    return click.option(
        "--limit", type=click.IntRange(min=0), default=default or 0, help=f"At most so many. [default: {shown}]"
    )


@click.group()
def dlq() -> None:
    """Look after dead letters: events that a consumer gave up."""


@dlq.command("list")
@filters
@limit_option(_LISTED)
@url_option
@json_option
def list_(consumer: str, limit: int, url: str | None, *, as_json: bool, **chosen: Any) -> None:
    """Print the dead letters of CONSUMER, oldest first, equal errors counted."""
    for desk in _desks(consumer, url):
        reasons: Counter[str] = Counter()
        for entry in desk.dead_letters(_choice(**chosen), limit):
            reasons[_first_line(entry.error)] += 1
            if as_json:
                echo_json({"consumer": desk.label, **_described(entry)})
            else:
                click.echo(f"  {_line(entry)}")
        if as_json:
            continue
        more = " and maybe more: raise --limit" if reasons.total() == limit else ""
        click.secho(f"{desk.label}: {_dead_letters(reasons.total())}{more}", bold=True)
        for reason, count in reasons.most_common(5):
            if count > 1:
                click.echo(f"  {count:,} times: {reason}")


@dlq.command()
@filters
@limit_option(_SHOWN)
@url_option
@json_option
def show(consumer: str, limit: int, url: str | None, *, as_json: bool, **chosen: Any) -> None:
    """Print dead letters of CONSUMER whole: error, traceback, body."""
    for desk in _desks(consumer, url):
        for entry in desk.dead_letters(_choice(**chosen), limit):
            details = _described(entry) | {"traceback": entry.traceback, "body": _body(entry)}
            if as_json:
                echo_json({"consumer": desk.label, **details})
                continue
            for key, value in details.items():
                click.echo(f"{click.style(key, bold=True)}: {value}")
            click.echo()


@dlq.command()
@filters
@limit_option(None)
@click.option("--dry-run", is_flag=True, help="Only count.")
@url_option
@json_option
def redrive(consumer: str, limit: int, url: str | None, *, dry_run: bool, as_json: bool, **chosen: Any) -> int:
    """Send dead letters of CONSUMER back to its queue, with the same ids; what was done already is not done again."""
    return _act(_desks(consumer, url), _choice(**chosen), limit, "redriven", dry_run=dry_run, as_json=as_json)


@dlq.command()
@filters
@limit_option(None)
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
@json_option
def purge(consumer: str, limit: int, url: str | None, *, dry_run: bool, yes: bool, as_json: bool, **chosen: Any) -> int:
    """Delete dead letters of CONSUMER for good."""
    desks, choice = _desks(consumer, url), _choice(**chosen)
    if not (dry_run or yes):
        counts = {desk.label: desk.count(choice, limit) for desk in desks}
        shown = ", ".join(f"{count:,} of {label}" for label, count in counts.items())
        if sum(counts.values()) and not click.confirm(
            f"Throw {_dead_letters(sum(counts.values()))} away for good ({shown})?", err=True
        ):
            click.echo("testbus: nothing was thrown away", err=True)
            return Exit.USAGE
    return _act(desks, choice, limit, "purged", dry_run=dry_run, as_json=as_json)


def _dead_letters(count: int) -> str:
    return f"{count:,} dead letter{'' if count == 1 else 's'}"


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """The dead letters of one queue, wherever they are."""

    instance: Instance
    broker: str | None
    home: Path | None
    allow_plaintext: bool

    @property
    def label(self) -> str:
        return self.instance.label

    def dead_letters(self, choice: Choice, limit: int) -> Iterator[DeadLetter]:
        """Yield those that are meant."""
        with self._place() as (place, first, more):
            yield from place.dead_letters(*first, choice, limit=limit or None, **more)

    def act(self, name: str, choice: Choice, limit: int) -> int:
        """Redrive or purge those that are meant, and return how many."""
        with self._place() as (place, first, more), _progress(self.label) as progress:
            return int(getattr(place, name)(*first, choice, limit=limit or None, progress=progress, **more))

    def count(self, choice: Choice, limit: int) -> int:
        """Return how many are meant."""
        with self._place() as (place, first, more), _progress(self.label) as progress:
            return sum(1 for _ in place.dead_letters(*first, choice, limit=limit or None, progress=progress, **more))

    @contextmanager
    def _place(self) -> Iterator[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
        """Give the module that knows the way, and its first and last arguments."""
        if self.home is None:
            from testbus_broker import dead_letter_queue  # noqa: PLC0415 pika only where a broker is asked

            yield (
                dead_letter_queue,
                (self.broker, self.instance.subscription),
                {"allow_plaintext": self.allow_plaintext},
            )
            return
        from testbus_consumers.embedded import state as embedded  # noqa: PLC0415 only what is asked for
        from testbus_consumers.embedded.bus import open_state  # noqa: PLC0415 the same

        store = open_state(self.home, self.instance)
        try:
            yield embedded, (store,), {}
        finally:
            store.close()


def _desks(consumer: str, url: str | None) -> list[_Desk]:
    from testbus_consumers import registry, settings  # noqa: PLC0415 for the help nothing is imported

    broker, home = broker_or_home(url)
    configured = settings.load()
    allowed = configured.broker.allow_plaintext or plaintext_allowed()
    return [
        _Desk(instance=one, broker=broker, home=home, allow_plaintext=allowed)
        for one in registry.find_with_events(configured, consumer)
    ]


def _choice(
    *,
    ids: tuple[str, ...],
    error: str | None,
    kind: str | None,
    run: str | None,
    project: str | None,
    since: datetime | None,
    older_than: timedelta | None,
) -> Choice:
    from testbus_broker.dead_letter import Choice  # noqa: PLC0415 for the help nothing is imported

    return Choice(
        ids=frozenset(ids),
        error=error,
        type=kind,
        run=run,
        project=project,
        since=since.timestamp() if since else None,
        until=(datetime.now(UTC) - older_than).timestamp() if older_than is not None else None,
    )


def _act(desks: list[_Desk], choice: Choice, limit: int, done: str, *, dry_run: bool, as_json: bool) -> int:
    action = {"redriven": "redrive", "purged": "purge"}[done]
    found = 0
    for desk in desks:
        count = desk.count(choice, limit) if dry_run else desk.act(action, choice, limit)
        found += count
        if as_json:
            echo_json({"consumer": desk.label, done: count, "dry_run": dry_run})
        else:
            click.echo(f"{desk.label}: {count:,} {'would be ' if dry_run else ''}{done}")
    if choice.ids and not found:
        label = desks[0].label
        raise CliError(f"{label} has no dead letter of that id: `testbus dlq list {label}` shows them")
    return Exit.OK


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give what shows how far it is: a bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _seen, _there: None
        return
    from rich.console import Console  # noqa: PLC0415 only where there is somebody to look
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def show(seen: int, there: int) -> None:
            if seen % _STEP == 0 or seen == there:
                bar.update(task, completed=seen, total=there)

        yield show


def _line(entry: DeadLetter) -> str:
    """Return a dead letter in one line: when it was given up (with the day), id, type and project, whole error."""
    when = "-" if entry.died_at is None else f"{datetime.fromtimestamp(entry.died_at).astimezone():%Y-%m-%d %H:%M:%S}"
    name = entry.message.first_routing_key
    return f"{when:19}  {entry.message.message_id or 'no id':36}  {name:{_NAME_CHARS}}  {_first_line(entry.error)}"


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _described(entry: DeadLetter) -> dict[str, Any]:
    return {
        "id": entry.message.message_id,
        "routing_key": entry.message.first_routing_key,
        "type": entry.type,
        "project": entry.project,
        "run": entry.run,
        "error": entry.error,
        "attempts": entry.attempts,
        "died_at": instant(entry.died_at) if entry.died_at is not None else None,
        "bytes": len(entry.message.body),
    }


def _body(entry: DeadLetter) -> str:
    from testbus_schemas import SchemaError  # noqa: PLC0415 for the help nothing is imported
    from testbus_schemas.codec import inflate  # noqa: PLC0415 the same

    try:
        raw = inflate(entry.message.body, entry.message.content_encoding)
    except SchemaError:
        raw = entry.message.body
    return raw.decode("utf-8", "backslashreplace")
