"""`testbus status`: depth, workers, retries and dead letters of every queue."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from testbus.commands.common import broker_or_home, echo_json, json_option, plaintext_allowed, url_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from testbus_consumers.settings import Settings

#: Seconds between two looks of `--watch`.
_WATCH_S = 2.0


@dataclass(frozen=True, kw_only=True)
class QueueStatus:
    """One queue."""

    #: Name on the command line.
    consumer: str
    #: Events that wait; None when the queue does not exist.
    depth: int | None
    #: Workers that consume it; None where that is not known.
    workers: int | None
    #: Events that wait for another try.
    retrying: int
    #: Dead letters.
    dead: int


@click.command()
@url_option
@click.option("--watch", is_flag=True, help="Look again every 2 seconds, with rates, until Ctrl-C.")
@json_option
def status(url: str | None, *, watch: bool, as_json: bool) -> None:
    """Print every queue: waiting events, workers, retries, dead letters."""
    from testbus_consumers import settings  # noqa: PLC0415 for the help nothing is imported

    broker, home = broker_or_home(url)
    configured = settings.load()
    before: Sequence[QueueStatus] = ()
    while True:
        now = _of_home(configured, home) if home else _of_broker(configured, str(broker))
        if as_json:
            echo_json({"queues": [asdict(one) for one in now]})
        else:
            if watch:
                click.clear()
            _print(now, before)
        if not watch:
            return
        before = now
        time.sleep(_WATCH_S)


def _of_home(configured: Settings, home: Path) -> list[QueueStatus]:
    from testbus_consumers.embedded.reading import read_backlog  # noqa: PLC0415 only what is asked for

    return [
        QueueStatus(
            consumer=queue.replace(".", "/", 1), depth=one.unread, workers=None, retrying=one.delayed, dead=one.dead
        )
        for queue, one in read_backlog(configured, home).items()
    ]


def _of_broker(configured: Settings, url: str) -> list[QueueStatus]:
    from testbus_broker.queues import depths  # noqa: PLC0415 only what is asked for
    from testbus_consumers import registry  # noqa: PLC0415 the same

    allowed = configured.broker.allow_plaintext or plaintext_allowed()
    found = []
    for instance in registry.instances(configured):
        own = instance.subscription
        ladder = [own.delay(seconds) for seconds in configured.broker.delay_steps]
        depth = depths(url, [own.queue, own.dead, *ladder], allow_plaintext=allowed)
        queue, dead = depth[own.queue], depth[own.dead]
        found.append(
            QueueStatus(
                consumer=instance.label,
                depth=queue.messages if queue else None,
                workers=queue.consumers if queue else None,
                retrying=sum(step.messages for name in ladder if (step := depth[name])),
                dead=dead.messages if dead else 0,
            )
        )
    return found


def _print(now: Sequence[QueueStatus], before: Sequence[QueueStatus]) -> None:
    earlier = {one.consumer: one for one in before}
    click.echo(
        f"{'consumer':24} {'waiting':>9} {'workers':>8} {'retrying':>9} {'dead':>6}  {'change/s' if before else ''}"
    )
    for one in now:
        waiting = "no queue" if one.depth is None else f"{one.depth:,}"
        workers = "-" if one.workers is None else str(one.workers)
        then = earlier.get(one.consumer)
        rate = f"{((one.depth or 0) - (then.depth or 0)) / _WATCH_S:+,.0f}" if then else ""
        line = f"{one.consumer:24} {waiting:>9} {workers:>8} {one.retrying:>9,} {one.dead:>6,}  {rate}"
        click.secho(
            line, fg="red" if one.dead or one.depth is None else "yellow" if one.workers == 0 and one.depth else None
        )
    if any(one.depth is None for one in now):
        click.echo("no queue: run `testbus broker declare`")
