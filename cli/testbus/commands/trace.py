"""`testbus trace`: where is my result? What each consumer did with each event of a run."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from testbus.commands.common import echo_json, embedded_home, json_option, url_option

if TYPE_CHECKING:
    from testbus_consumers.store.deliveries import Ledgered


@click.command()
@click.argument("run")
@url_option
@json_option
def trace(run: str, url: str | None, *, as_json: bool) -> None:
    """Print what became of RUN's events, consumer by consumer: done, skipped, retrying (when next), dead (why)."""
    from testbus_consumers import ledger, settings  # noqa: PLC0415 for the help nothing is imported

    configured = settings.load()
    home = embedded_home(url)
    state = f"sqlite:///{home / 'state'}" if home else configured.state_url()
    found = ledger.of_run(configured, run, state)
    if as_json:
        echo_json({"run": run, "consumers": {name: [asdict(row) for row in rows] for name, rows in found.items()}})
        return
    for name, rows in found.items():
        counts = Counter(row.status.value for row in rows)
        told = ", ".join(f"{n} {status}" for status, n in counts.items()) or "nothing yet"
        click.echo(f"{click.style(name, bold=True)}: {told}")
        for row in rows:
            click.echo(f"  {_line(row)}")


def _line(row: Ledgered) -> str:
    when = time.strftime("%H:%M:%S", time.localtime(row.updated_at))
    next_at = f", next at {time.strftime('%H:%M:%S', time.localtime(row.next_at))}" if row.next_at else ""
    why = f": {row.reason.splitlines()[0]}" if row.reason else ""
    return f"{when}  {row.type:18}  {row.event_id[:8]}  {row.status.value}{next_at}{why}"
