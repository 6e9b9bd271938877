"""`testbus dlq`: what was given up, and what to do with it."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from testbus.commands.common import broker_or_home, echo_json, json_option, url_option
from testbus.errors import CliError, Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from testbus_broker.deadletters import DeadLetter
    from testbus_consumers.registry import Instance

#: Dead letters that are looked through for those that a command means.
_LOOKED_AT = 10_000

consumer_argument = click.argument("consumer")
id_option = click.option("--id", "ids", multiple=True, metavar="EVENT", help="Only this event; repeatable.")
error_option = click.option("--error", metavar="TEXT", help="Only those whose error contains this.")


@click.group()
def dlq() -> None:
    """Look after dead letters: events that a consumer gave up."""


@dlq.command("list")
@consumer_argument
@error_option
@url_option
@json_option
def list_(consumer: str, error: str | None, url: str | None, *, as_json: bool) -> None:
    """Print the dead letters of CONSUMER, oldest first, equal errors counted."""
    for desk in _desks(consumer, url):
        letters = desk.letters((), error)
        if as_json:
            for letter in letters:
                echo_json({"consumer": desk.label, **_described(letter)})
            continue
        click.secho(f"{desk.label}: {len(letters)} dead letters", bold=True)
        for letter in letters:
            when = time.strftime("%m-%d %H:%M:%S", time.localtime(letter.message.timestamp or 0))
            name = letter.message.first_routing_key
            click.echo(
                f"  {when}  {letter.message.message_id or 'no id':36}  {name}  {letter.error.splitlines()[0][:100]}"
            )
        for reason, count in Counter(letter.error.splitlines()[0] for letter in letters).most_common(5):
            if count > 1:
                click.echo(f"  {count} times: {reason[:150]}")


@dlq.command()
@consumer_argument
@id_option
@url_option
@json_option
def show(consumer: str, ids: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Print dead letters of CONSUMER whole: error, traceback, body."""
    for desk in _desks(consumer, url):
        for letter in desk.letters(ids, None):
            told = _described(letter) | {"traceback": letter.traceback, "body": _body(letter)}
            if as_json:
                echo_json({"consumer": desk.label, **told})
                continue
            for key, value in told.items():
                click.echo(f"{click.style(key, bold=True)}: {value}")
            click.echo()


@dlq.command()
@consumer_argument
@id_option
@error_option
@click.option("--dry-run", is_flag=True, help="Only count.")
@url_option
def redrive(consumer: str, ids: tuple[str, ...], error: str | None, url: str | None, *, dry_run: bool) -> int:
    """Send dead letters of CONSUMER back to its queue, with the same ids; what was done already is not done again."""
    return _act(_desks(consumer, url), ids, error, "redriven", None if dry_run else _Desk.redrive)


@dlq.command()
@consumer_argument
@id_option
@error_option
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
def purge(consumer: str, ids: tuple[str, ...], error: str | None, url: str | None, *, dry_run: bool, yes: bool) -> int:
    """Throw dead letters of CONSUMER away, for good."""
    if not (dry_run or yes or click.confirm(f"Throw dead letters of {consumer} away?")):
        return Exit.USAGE
    return _act(_desks(consumer, url), ids, error, "thrown away", None if dry_run else _Desk.purge)


class _Desk:
    """The dead letters of one queue, wherever they are."""

    def __init__(self, instance: Instance, broker: str | None, home: Path | None, *, allow_plaintext: bool) -> None:
        self.label = instance.label
        self._instance = instance
        self._broker = broker
        self._home = home
        self._allowed = allow_plaintext

    def letters(self, ids: Collection[str], error: str | None) -> list[DeadLetter]:
        """Return those that are meant."""
        found = self._call("listing", limit=_LOOKED_AT)
        return [
            letter
            for letter in found
            if (not ids or letter.message.message_id in ids) and (error is None or error in letter.error)
        ]

    def redrive(self, ids: Collection[str] | None) -> int:
        return int(self._call("redrive", ids=ids))

    def purge(self, ids: Collection[str] | None) -> int:
        return int(self._call("purge", ids=ids))

    def _call(self, name: str, **arguments: Any) -> Any:
        if self._home is not None:
            from testbus_consumers.embedded import deadletters as embedded  # noqa: PLC0415 only what is asked for
            from testbus_consumers.embedded.bus import open_state  # noqa: PLC0415 the same

            store = open_state(self._home, self._instance)
            try:
                return getattr(embedded, name)(store, **arguments)
            finally:
                store.close()
        from testbus_broker import deadletters  # noqa: PLC0415 pika only where a broker is asked

        function = getattr(deadletters, name)
        return function(self._broker, self._instance.subscription, allow_plaintext=self._allowed, **arguments)


def _desks(consumer: str, url: str | None) -> list[_Desk]:
    from testbus_consumers import registry, settings  # noqa: PLC0415 for the help nothing is imported

    broker, home = broker_or_home(url)
    configured = settings.load()
    allowed = configured.broker.allow_plaintext
    return [_Desk(one, broker, home, allow_plaintext=allowed) for one in registry.find(configured, consumer)]


def _act(
    desks: list[_Desk],
    ids: tuple[str, ...],
    error: str | None,
    done: str,
    action: Callable[[_Desk, Collection[str] | None], int] | None,
) -> int:
    found = 0
    for desk in desks:
        meant = desk.letters(ids, error)
        found += len(meant)
        if action is None:
            click.echo(f"{desk.label}: {len(meant)} would be {done}")
            continue
        chosen: Collection[str] | None = None
        if ids or error:
            chosen = {str(letter.message.message_id) for letter in meant}
        click.echo(f"{desk.label}: {action(desk, chosen) if meant else 0} {done}")
    if ids and not found:
        label = desks[0].label
        raise CliError(f"{label} has no dead letter of that id: `testbus dlq list {label}` shows them")
    return Exit.OK


def _described(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.message.message_id,
        "routing_key": letter.message.first_routing_key,
        "error": letter.error,
        "attempts": letter.attempts,
        "bytes": len(letter.message.body),
    }


def _body(letter: DeadLetter) -> str:
    from testbus_schemas import SchemaError  # noqa: PLC0415 for the help nothing is imported
    from testbus_schemas.codec import inflate  # noqa: PLC0415 the same

    try:
        raw = inflate(letter.message.body, letter.message.content_encoding)
    except SchemaError:
        raw = letter.message.body
    return raw.decode("utf-8", "backslashreplace")
