"""`testbus status`: depth, workers, retries, dead letters, rate, lag, pause and breaker of every queue."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from testbus.commands.common import (
    broker_or_home,
    clock_time,
    echo_json,
    instant,
    json_option,
    plaintext_allowed,
    url_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from testbus_consumers.settings import Settings
    from testbus_consumers.store.control import Health, Pause

#: Seconds between two looks of `--watch`.
_WATCH_S = 2.0

#: Seconds over which the rate is taken.
_RATE_S = 60.0


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
    #: Events handled per second, over the last minute; None where the state cannot be read.
    handled_per_s: float | None = None
    #: How old the event was, in seconds by now, that was handled last, while others wait; 0 when none does, None when
    #: nothing was handled yet or the state cannot be read.
    lag_s: float | None = None
    #: A person's pause; None when the queue is not paused.
    pause: Pause | None = None
    #: What the workers know of the target; None where the state cannot be read.
    health: Health | None = None

    @property
    def breaker(self) -> str:
        """Return closed, open (the target is left alone) or half-open (it is tried with one event)."""
        from testbus_consumers.runtime.breaker import state_of  # noqa: PLC0415 for the help nothing is imported

        return state_of(self.health.failures, self.health.open_until, time.time()) if self.health else "closed"


@click.command()
@url_option
@click.option("--watch", is_flag=True, help="Look again every 2 seconds, with rates, until Ctrl-C.")
@json_option
def status(url: str | None, *, watch: bool, as_json: bool) -> None:
    """Print every queue: waiting events, workers, retries, dead letters, events per second, lag.

    Below stand who paused a queue, when and why, and which targets are down and when they are tried next.
    """
    from testbus_consumers import settings  # noqa: PLC0415 for the help nothing is imported

    broker, home = broker_or_home(url)
    configured = settings.load()
    before: Sequence[QueueStatus] = ()
    while True:
        seen = _of_home(configured, home) if home else _of_broker(configured, str(broker))
        now = _with_state(configured, home, seen)
        if as_json:
            echo_json({"queues": [_data(one) for one in now]})
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


def _with_state(configured: Settings, home: Path | None, seen: Sequence[QueueStatus]) -> list[QueueStatus]:
    """Add what the ledgers and the control rows know."""
    from testbus_consumers import ledger  # noqa: PLC0415 only what is asked for

    now = time.time()
    state_url = f"sqlite:///{home / 'state'}" if home else configured.state_url()
    pulses = ledger.pulses(configured, state_url, now - _RATE_S)
    controls = ledger.controls(configured, state_url)
    # The backlog of a home counts them.
    waiting = {} if home else ledger.waiting_runs(configured, state_url)
    found = []
    for one in seen:
        # What a run's end calls for waits in the state, not in a queue.
        told = replace(one, retrying=one.retrying + (waiting.get(one.consumer) or 0))
        if row := controls.get(one.consumer):
            told = replace(told, pause=row.pause if row.paused(now) else None, health=row.health)
        if pulse := pulses.get(one.consumer):
            age = None if pulse.recorded_at is None else round(max(0.0, now - pulse.recorded_at), 1)
            lag = age if age is None or told.depth or told.retrying else 0.0
            told = replace(told, handled_per_s=round(pulse.handled / _RATE_S, 2), lag_s=lag)
        found.append(told)
    return found


def _data(one: QueueStatus) -> dict[str, Any]:
    """Return a queue as JSON data."""
    from testbus.commands.pause import as_data  # noqa: PLC0415 for the help nothing is imported

    plain = {name: value for name, value in asdict(one).items() if name not in {"pause", "health"}}
    health = one.health
    breaker = {
        "state": one.breaker,
        "failures": health.failures if health else 0,
        "next_probe": instant(health.open_until) if health and one.breaker == "open" else None,
        "reason": health.reason if health else "",
        "since": instant(health.changed_at) if health and health.changed_at else None,
    }
    return {**plain, "paused": as_data(one.pause), "breaker": breaker}


def _print(now: Sequence[QueueStatus], before: Sequence[QueueStatus]) -> None:
    earlier = {one.consumer: one for one in before}
    click.echo(
        f"{'consumer':24} {'waiting':>9} {'workers':>8} {'retrying':>9} {'dead':>6} {'done/s':>8} {'lag':>8}"
        f"  {'change/s' if before else ''}"
    )
    for one in now:
        waiting = "no queue" if one.depth is None else f"{one.depth:,}"
        workers = "-" if one.workers is None else str(one.workers)
        then = earlier.get(one.consumer)
        rate = f"{((one.depth or 0) - (then.depth or 0)) / _WATCH_S:+,.0f}" if then else ""
        speed = "-" if one.handled_per_s is None else f"{one.handled_per_s:,.1f}"
        lag = "-" if one.lag_s is None else f"{one.lag_s:,.0f} s"
        line = (
            f"{one.consumer:24} {waiting:>9} {workers:>8} {one.retrying:>9,} {one.dead:>6,} {speed:>8} {lag:>8}  {rate}"
        )
        click.secho(line.rstrip(), fg=_colour(one))
    for one in now:
        for held in _held_back(one):
            click.echo(f"{one.consumer}: {held}")
    if any(one.depth is None for one in now):
        click.echo("no queue: run `testbus broker declare`")


def _colour(one: QueueStatus) -> str | None:
    if one.dead or one.depth is None:
        return "red"
    stopped = one.pause is not None or one.breaker != "closed" or (one.workers == 0 and one.depth)
    return "yellow" if stopped else None


def _held_back(one: QueueStatus) -> list[str]:
    """Return why a queue is not served, for people."""
    from testbus.commands.pause import words  # noqa: PLC0415 for the help nothing is imported

    lines = [words(one.pause)] if one.pause else []
    if one.health and one.breaker != "closed":
        left = one.health.open_until - time.time()
        probe = f"next try in {left:.0f} s" if left > 0 else "being tried with one event"
        lines.append(
            f"target down, {one.health.failures} failures, last at {clock_time(one.health.changed_at)}, {probe}: "
            f"{one.health.reason}"
        )
    return lines
