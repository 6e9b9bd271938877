"""`testbus status`: depth, workers, retries, dead letters, rate, lag, pause and breaker of every queue."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from testbus.errors import CliError, Exit
from testbus.options import (
    broker_or_home,
    clock_time,
    duration,
    echo_json,
    instant,
    json_option,
    plaintext_allowed,
    url_option,
)
from testbus_broker import stream
from testbus_broker.errors import BrokerError
from testbus_consumers import overview, registry
from testbus_schemas import SchemaError, decode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from testbus_broker.message import Message
    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import Settings
    from testbus_consumers.store.control import Health, Pause
    from testbus_consumers.store.deliveries import Pulse


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
    #: How long ago the oldest event that waits was made, in seconds; 0 when none does, None when that cannot be found
    #: out from here.
    lag_s: float | None = None
    #: A person's pause; None when the queue is not paused.
    pause: Pause | None = None
    #: What the workers know of the target; None where the state cannot be read.
    health: Health | None = None
    #: When the oldest event that waits was made (seconds since the epoch), where the driver knows; None elsewhere.
    oldest: float | None = None

    def problems(self, longest_s: float | None) -> list[str]:
        """Return what a person should look at; `longest_s` is how long an event may wait. A pause is nobody's fault."""
        found = []
        if self.depth is None:
            found.append("no queue: run `testbus broker declare`")
        if self.dead:
            found.append(f"{self.dead:,} dead letter{'' if self.dead == 1 else 's'}: see `testbus dlq list`")
        if self.depth and self.workers == 0 and self.pause is None and self.breaker == "closed":
            found.append(f"{self.depth:,} waiting and no worker")
        if self.breaker != "closed":
            found.append(f"target down: {self.health.reason if self.health else ''}")
        if longest_s is not None and self.pause is None and (self.lag_s or 0.0) > longest_s:
            found.append(f"the oldest event has waited for {self.lag_s:,.0f} s")
        return found

    @property
    def breaker(self) -> str:
        """Return closed, open (the target is left alone) or half-open (it is tried with one event)."""
        from testbus_consumers.runtime.breaker import state_of  # noqa: PLC0415 for the help nothing is imported

        return state_of(self.health.failures, self.health.open_until, time.time()) if self.health else "closed"


@click.command()
@url_option
@click.option("--watch", is_flag=True, help="Look again every 2 seconds, with rates, until Ctrl-C.")
@click.option(
    "--check", is_flag=True, help="For monitoring: exit 1 for dead letters, no queue, no worker, a target that is down."
)
@click.option(
    "--max-lag", type=duration, metavar="AGE", help="With --check: also when an event waits for longer, as 10m."
)
@json_option
def status(url: str | None, *, watch: bool, check: bool, max_lag: timedelta | None, as_json: bool) -> int:
    """Print every queue: waiting events, workers, retries, dead letters, events per second, age of the oldest waiting.

    Below stand who paused a queue, when and why, and which targets are down and when they are tried next.
    """
    if max_lag is not None and not check:
        raise CliError("--max-lag says when --check exits 1: give both")
    from testbus_consumers import settings  # noqa: PLC0415 for the help nothing is imported

    broker, home = broker_or_home(url)
    configured = settings.load()
    before: Sequence[QueueStatus] = ()
    while True:
        seen = _of_home(configured, home) if home else _of_broker(configured, str(broker))
        now = _with_state(configured, broker, home, seen)
        longest_s = None if max_lag is None else max_lag.total_seconds()
        problems = {one.consumer: one.problems(longest_s) for one in now}
        if as_json:
            echo_json({"queues": [{**_data(one), "problems": problems[one.consumer]} for one in now]})
        else:
            if watch:
                click.clear()
            _print(now, before)
        if not watch:
            if not check:
                return Exit.OK
            for consumer, found in problems.items():
                for problem in found:
                    click.echo(f"testbus: {consumer}: {problem}", err=True)
            return Exit.FAILED if any(problems.values()) else Exit.OK
        before = now
        time.sleep(_WATCH_S)


def _of_home(configured: Settings, home: Path) -> list[QueueStatus]:
    from testbus_consumers.embedded.bus import read_backlog  # noqa: PLC0415 only what is asked for

    return [
        QueueStatus(
            consumer=queue.replace(".", "/", 1),
            depth=one.unread,
            workers=None,
            retrying=one.delayed,
            dead=one.dead,
            oldest=one.oldest,
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
        delays = [own.delay(seconds) for seconds in configured.broker.delay_steps]
        depth = depths(url, [own.queue, own.dead, *delays], allow_plaintext=allowed)
        queue, dead = depth[own.queue], depth[own.dead]
        found.append(
            QueueStatus(
                consumer=instance.label,
                depth=queue.messages if queue else None,
                workers=queue.consumers if queue else None,
                retrying=sum(step.messages for name in delays if (step := depth[name])),
                dead=dead.messages if dead else 0,
            )
        )
    return found


def _with_state(
    configured: Settings, broker: str | None, home: Path | None, seen: Sequence[QueueStatus]
) -> list[QueueStatus]:
    """Add what the ledgers and the control rows know."""
    from testbus_consumers import overview  # noqa: PLC0415 only what is asked for

    now = time.time()
    state_url = f"sqlite:///{home / 'state'}" if home else configured.state_url()
    pulses = overview.pulses(configured, state_url, now - _RATE_S)
    controls = overview.controls(configured, state_url)
    # The backlog of a home counts them.
    ends = {} if home else overview.waiting_runs(configured, state_url)
    found = []
    for one in seen:
        # What a run's end calls for waits in the state, not in a queue.
        updated = replace(one, retrying=one.retrying + (ends.get(one.consumer) or 0))
        if row := controls.get(one.consumer):
            updated = replace(updated, pause=row.pause if row.paused(now) else None, health=row.health)
        if pulse := pulses.get(one.consumer):
            updated = replace(updated, handled_per_s=round(pulse.handled / _RATE_S, 2))
        found.append(updated)
    waiting = {one.consumer: pulse.recorded_at if (pulse := pulses.get(one.consumer)) else None
               for one in seen if one.depth}  # fmt: skip
    oldest = {one.consumer: one.oldest for one in seen if one.oldest is not None}
    if broker is not None and waiting:
        allowed = configured.broker.allow_plaintext or plaintext_allowed()
        oldest = oldest_waiting(configured, broker, waiting, allow_plaintext=allowed)
    return [replace(one, lag_s=_lag(one, pulses.get(one.consumer), oldest.get(one.consumer), now)) for one in found]


def _lag(one: QueueStatus, pulse: Pulse | None, oldest: float | None, now: float) -> float | None:
    """Return how long the oldest event has waited, for its turn or for another try."""
    if not (one.depth or one.retrying):
        return None if one.depth is None else 0.0
    retried = pulse.retried_at if pulse and one.retrying else None
    moments = [moment for moment in (oldest, retried) if moment is not None]
    if one.depth and oldest is None and pulse and pulse.recorded_at is not None:
        # Made after what was handled last, as far as anybody can tell from here.
        moments.append(pulse.recorded_at)
    if not moments:
        return None
    return round(max(0.0, now - min(moments)), 1)


def _data(one: QueueStatus) -> dict[str, Any]:
    """Return a queue as JSON data."""
    from testbus.commands.pause import as_data  # noqa: PLC0415 for the help nothing is imported

    plain = {name: value for name, value in asdict(one).items() if name not in {"pause", "health", "oldest"}}
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


#: How much earlier than what was handled last the stream is read: clocks differ, and events come in no order.
_BEFORE: Final = timedelta(minutes=5)

#: Bounds of the search: seconds, and events of one queue between two looks into its ledger.
_SEARCH_S: Final = 5.0
_BATCH: Final = 500


def oldest_waiting(
    configured: Settings, url: str, behind: Mapping[str, float | None], *, allow_plaintext: bool = False
) -> dict[str, float]:
    """Return when the oldest event that waits in each queue was made, in seconds since the epoch.

    `behind` are the labels of queues in which something waits, with the time of what each handled last. RabbitMQ does
    not tell the age of what is in a queue: the stream is held against each ledger. A queue of which that cannot be
    found out is left out: in time, with the rights of this account, or because it has handled nothing yet, so that
    nobody knows where in the stream its own events begin.
    """
    handled = {label: moment for label, moment in behind.items() if moment is not None}
    searches = [_Search(configured, one) for one in registry.instances(configured) if one.label in handled]
    if not searches:
        return {}
    since = min(datetime.fromtimestamp(min(handled.values()), UTC), datetime.now(UTC)) - _BEFORE
    deadline = time.monotonic() + _SEARCH_S
    try:
        messages = stream.read(url, offset=since, marked=False, allow_plaintext=allow_plaintext)
        with closing(messages):
            for _, message in messages:
                for search in searches:
                    search.look(message)
                if all(search.found for search in searches) or time.monotonic() > deadline:
                    break
    except BrokerError:
        # An account that may not read the stream.
        return {}
    for search in searches:
        search.settle()
    return {search.label: search.made_at for search in searches if search.made_at is not None}


class _Search:
    """Looks for the first event that one queue wants and does not know."""

    def __init__(self, configured: Settings, instance: Instance) -> None:
        self.label = instance.label
        #: When the event was made; None before it is found.
        self.made_at: float | None = None
        self._configured = configured
        self._instance = instance
        self._batch: dict[str, Message] = {}

    @property
    def found(self) -> bool:
        """Tell whether the search is over."""
        return self.made_at is not None

    def look(self, message: Message) -> None:
        """Take the next event of the stream."""
        known = not message.message_id or message.message_id in self._batch
        if self.found or known or not self._instance.subscription.wants(message.routing_key):
            return
        self._batch[str(message.message_id)] = message
        # The first is looked up at once: where nothing was handled out of order it is the one.
        if len(self._batch) in {1, _BATCH}:
            self.settle()

    def settle(self) -> None:
        """Look up what was taken."""
        if self.found or not self._batch:
            return
        seen = overview.seen(self._configured.state_url(), self._instance, self._batch.keys())
        unknown = (message for event_id, message in self._batch.items() if event_id not in seen)
        for message in unknown:
            try:
                self.made_at = decode(message.body, message.content_encoding).time.timestamp()
            except SchemaError:
                continue
            break
        if len(self._batch) > 1:
            # The first one alone stays: the next ones are looked up together.
            self._batch = {}
