"""`testbus pause` and `testbus resume`: for the maintenance of a target, from any host."""

from __future__ import annotations

import getpass
import os
import platform
import time
from typing import TYPE_CHECKING, Any

import click

from testbus.errors import CliError
from testbus.options import clock_time, duration, echo_json, embedded_home, instant, json_option, url_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from sqlalchemy import Connection

    from testbus_consumers.registry import Instance
    from testbus_consumers.store.control import Control, Pause

#: Without these nobody gets a verdict.
_VERDICTS = frozenset({"runs", "gates", "requests"})

consumers_argument = click.argument("consumers", nargs=-1, metavar="CONSUMER[/TARGET]...")


@click.command()
@consumers_argument
@click.option("--all", "everything", is_flag=True, help="Every configured consumer.")
@click.option("--reason", default="", metavar="TEXT", help="Why; `testbus status` shows it.")
@click.option("--for", "length", type=duration, metavar="DURATION", help="Resume by itself after this, as 30m or 2h.")
@url_option
@json_option
def pause(
    consumers: tuple[str, ...],
    reason: str,
    length: timedelta | None,
    url: str | None,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """Stop CONSUMERS on every host, as reportportal (all its targets) or reportportal/eu, until they are resumed.

    Nothing is consumed and no timer runs, whichever workers end or start; events wait, and none counts an attempt.
    """
    from testbus_consumers.store import control  # noqa: PLC0415 for the help nothing is imported

    now = time.time()
    until = None if length is None else now + length.total_seconds()
    wanted = control.Pause(since=now, by=person(), reason=reason, until=until)
    found = _change(consumers, url, lambda connection, queue: control.stop(connection, queue, wanted), all_=everything)
    if as_json:
        echo_json({"queues": [described(label, row) for label, row in found.items()]})
        return
    for label, row in found.items():
        assert row is not None
        assert row.pause is not None
        click.echo(f"{label}: {words(row.pause)}")
    if _VERDICTS & found.keys():
        click.echo("testbus: nobody gets a verdict meanwhile; `testbus verdict` waits until its time is over", err=True)


@click.command()
@consumers_argument
@click.option("--all", "everything", is_flag=True, help="Every configured consumer.")
@url_option
@json_option
def resume(consumers: tuple[str, ...], url: str | None, *, everything: bool, as_json: bool) -> None:
    """Let CONSUMERS go on; what waited is delivered."""
    from testbus_consumers.store import control  # noqa: PLC0415 for the help nothing is imported

    stopped: dict[str, Control | None] = {}

    def go_on(connection: Connection, queue: str) -> None:
        stopped[queue.replace(".", "/", 1)] = control.read(connection)
        control.go_on(connection)

    found = _change(consumers, url, go_on, all_=everything)
    if as_json:
        echo_json({"queues": [described(label, row) for label, row in found.items()]})
        return
    for label in found:
        row = stopped[label]
        click.echo(f"{label}: resumed" if row and row.paused(time.time()) else f"{label}: was not paused")


def described(label: str, row: Control | None) -> dict[str, Any]:
    """Return a queue's pause as JSON data: `consumer`, and `paused` (null when it is not)."""
    pause = row.pause if row is not None and row.paused(time.time()) else None
    return {"consumer": label, "paused": as_data(pause)}


def as_data(pause: Pause | None) -> dict[str, Any] | None:
    """Return a pause as JSON data."""
    if pause is None:
        return None
    until = None if pause.until is None else instant(pause.until)
    return {"since": instant(pause.since), "by": pause.by, "reason": pause.reason, "until": until}


def words(pause: Pause) -> str:
    """Return a pause in one line: since when, until when, by whom, why."""
    until = "" if pause.until is None else f" until {clock_time(pause.until)}"
    why = f": {pause.reason}" if pause.reason else ""
    return f"paused since {clock_time(pause.since)}{until} by {pause.by}{why}"


def _change(
    labels: Iterable[str], url: str | None, act: Callable[[Connection, str], None], *, all_: bool
) -> dict[str, Control | None]:
    """Do something to the control row of each queue that is meant, and return the rows as they are then."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 for the help nothing is imported

    from testbus_consumers import registry, settings  # noqa: PLC0415 the same
    from testbus_consumers.embedded.bus import open_state  # noqa: PLC0415 the same
    from testbus_consumers.store import control, open_store  # noqa: PLC0415 the same
    from testbus_consumers.store.engine import unusable  # noqa: PLC0415 the same

    configured = settings.load()
    chosen = _chosen(
        registry.instances(configured), tuple(labels), lambda one: registry.find(configured, one), all_=all_
    )
    home = embedded_home(url)
    found = {}
    for one in chosen:
        store = open_state(home, one) if home is not None else open_store(configured.state_url(), one.queue)
        try:
            with store.begin() as connection:
                act(connection, one.queue)
                found[one.label] = control.read(connection)
        except DBAPIError as error:
            raise unusable(one.label, error) from None
        finally:
            store.close()
    return found


def _chosen(
    every: tuple[Instance, ...],
    labels: tuple[str, ...],
    find: Callable[[str], tuple[Instance, ...]],
    *,
    all_: bool,
) -> list[Instance]:
    if all_ == bool(labels):
        known = ", ".join(one.label for one in every)
        raise CliError(f"which consumers? Name some, or give --all; configured: {known}")
    found = every if all_ else tuple(one for label in labels for one in find(label))
    return list({one.queue: one for one in found}.values())


def person() -> str:
    """Return user@host, as far as this machine knows them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container's user without a name.
        user = f"uid {os.getuid()}"
    return f"{user}@{platform.node() or 'unknown host'}"
