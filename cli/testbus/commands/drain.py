"""`testbus drain`: goes on with what an embedded run left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from testbus.errors import Exit
from testbus.options import echo_json, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_consumers.embedded.queue_worker import Backlog


@click.command()
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Stop after so many seconds.")
@json_option
def drain(timeout: float, *, as_json: bool) -> int:
    """Deliver what the embedded pipeline still holds: sends spools, retries, and waits for targets."""
    from testbus_consumers import settings  # noqa: PLC0415 for the help nothing is imported
    from testbus_consumers.embedded import EmbeddedBus  # noqa: PLC0415 the same
    from testbus_producers.sending.flush import flush  # noqa: PLC0415 the same

    home = settings.home()
    with EmbeddedBus(settings.load(), home) as bus:
        flush(home / "spool", bus.url, timeout)
        done = bus.drain(timeout)
        backlog = bus.backlog()
    done = done and not any(one.paused and (one.unread or one.delayed) for one in backlog.values())
    if as_json:
        echo_json({"drained": done, "queues": {name: vars_of(one) for name, one in backlog.items()}})
    else:
        for line in remains(backlog):
            click.echo(line)
        click.echo("all delivered" if done else "not all delivered yet: run `testbus drain` again")
    return Exit.OK if done else Exit.FAILED


def remains(backlog: Mapping[str, Backlog]) -> list[str]:
    """Return a line for each queue that has something left."""
    lines = []
    for queue, one in backlog.items():
        parts = []
        if one.delayed:
            parts.append(f"{one.delayed} waiting for another try")
        if one.busy:
            parts.append("at work")
        if one.dead:
            parts.append(f"{one.dead} given up")
        if one.paused:
            parts.append(f"{one.unread} unread, paused: `testbus resume {queue.replace('.', '/', 1)}`")
        if parts:
            lines.append(f"{queue}: {', '.join(parts)}")
    return lines


def vars_of(one: Backlog) -> dict[str, int | bool]:
    """Return a backlog as JSON data."""
    return {"busy": one.busy, "unread": one.unread, "delayed": one.delayed, "dead": one.dead, "paused": one.paused}
