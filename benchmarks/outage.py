"""What the outage of one target costs: the broker, the target, and everybody else.

    python -m benchmarks.outage --json [--results 20000] [--per-event 10] [--mode refuse] [--mode hang]

Two ReportPortals, RabbitMQ, PostgreSQL and one `testbus worker --all`. First a calm run with both up; then, for each
mode, the same load while the second ReportPortal refuses connections, or accepts them and never answers; then it comes
back, and nobody does anything.

`deliveries` counts what the workers settled for the dead target's queue from the first probe to the last
(`testbus_events_total`), `requests` what its sandbox was asked. `latency_ratio` compares, for the events of the other
consumers, the time from their recording until they were done (median, and 90th percentile) with the calm run's; below 1
it says that the idle worker left more of the machine to the others. `calm_again_ratio` compares a second calm run,
after the outages, in the same way: how far the ratio lies from 1 on this machine without any outage.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.outage_load import VICTIM, Loaded, opened
from harness import services
from harness.deployment import SOON_S
from harness.support import wait_until
from testbus_consumers.runtime.breaker import THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: How the target can be down.
MODES: Final = ("refuse", "hang")

#: Seconds before the first probe at which counting begins.
_EARLY_S: Final = 1.0

#: Seconds for which anything that takes work is waited for, and between two looks.
_PATIENCE_S: Final = 3600.0
_LOOK_S: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What was seen while the target was down."""

    #: Deliveries until the target was found down, and of what had been fetched by then.
    at_first: int
    #: Times the target was tried again.
    probes: int
    #: Deliveries, each with one publication to the retry delays, from the first probe on.
    deliveries: int
    #: Events that waited in the queue itself, and in its retry delays, at the last probe.
    waiting: int
    on_ladder: int
    #: Requests (or, while it refused them, failed calls) at the target, from when it went down.
    requests: int

    @property
    def backlog_events(self) -> int:
        """Return how many events waited for the dead target in the end."""
        return self.waiting + self.on_ladder

    @property
    def deliveries_per_probe(self) -> float:
        """Return how many deliveries one probe cost."""
        return round(self.deliveries / max(1, self.probes), 2)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured in one outage."""

    #: How the target was down.
    mode: str
    #: Results that were published meanwhile.
    results: int
    #: What was seen meanwhile.
    watched: Watched
    #: Whether all arrived after the outage, the same as at the other target, and none as a dead letter.
    recovered: bool
    #: Seconds that this took, and results a second.
    recovery_s: float
    results_per_s: float
    #: Median and 90th percentile of the others' latency, relative to the calm run's; None without one.
    latency_ratio: float | None
    latency_ratio_p90: float | None

    @property
    def summary(self) -> dict[str, Any]:
        """Return all figures, flat."""
        told = asdict(self)
        told |= told.pop("watched")
        return told | {
            "backlog_events": self.watched.backlog_events,
            "deliveries_per_probe": self.watched.deliveries_per_probe,
        }


def calm(loaded: Loaded) -> list[float]:
    """Return the others' latencies while everything is up, in seconds."""
    runs = loaded.load()
    _until(lambda: loaded.others_done(runs) and loaded.caught_up(runs), "the calm run is over")
    return loaded.latencies(runs)


def outage(loaded: Loaded, mode: str, probes: int, undisturbed: Sequence[float] = ()) -> Figures:
    """Take the target down under load, watch so many probes, and let it come back.

    With the latencies of a `calm` run the outage lasts until the others have done everything, and is compared.
    """
    faults = loaded.deployment.sandbox.reportportal("b").faults
    dead = loaded.deployment.depths(VICTIM)["dead"]
    began = loaded.settled()
    if mode == "refuse":
        faults.refuse()
    else:
        faults.hang()
    try:
        runs, watched = _watch(loaded, began, probes, to_the_end=bool(undisturbed))
    finally:
        faults.clear()
    back = time.monotonic()
    _until(lambda: loaded.caught_up(runs), "the target has caught up")
    took = time.monotonic() - back
    disturbed = loaded.latencies(runs) if undisturbed else []
    return Figures(
        mode=mode,
        results=loaded.results,
        watched=watched,
        recovered=loaded.arrived("b", runs) and loaded.deployment.depths(VICTIM)["dead"] == dead,
        recovery_s=round(took, 1),
        results_per_s=round(loaded.results / took, 1),
        latency_ratio=_ratio(statistics.median, disturbed, undisturbed),
        latency_ratio_p90=_ratio(_p90, disturbed, undisturbed),
    )


def _watch(loaded: Loaded, began: int, probes: int, *, to_the_end: bool) -> tuple[list[str], Watched]:
    """Publish the load while the target is down; return its runs, and what so many probes, or more, cost."""
    portal = loaded.deployment.sandbox.reportportal("b")
    asked = portal.requests.total
    runs = loaded.load()
    first = wait_until(lambda: _next_probe(loaded), SOON_S * 4, "the target is found down")
    # What was fetched before has been put off by then, and the first probe is still to come.
    wait_until(lambda: time.time() > first - _EARLY_S, SOON_S, "the first probe is near")
    at_open = loaded.settled()
    seen = {first}

    def saw() -> int:
        """Note when the target is tried next, and return how many such moments there were."""
        seen.add(loaded.health().open_until)
        return len(seen)

    _until(lambda: saw() > probes, "it was tried again")
    if to_the_end:
        _until(lambda: loaded.others_done(runs), "the others have done everything")
    in_all = saw() - 1
    at_end = loaded.settled()
    waiting, on_ladder = loaded.depth()
    return runs, Watched(
        at_first=at_open - began,
        probes=in_all,
        deliveries=at_end - at_open,
        waiting=waiting,
        on_ladder=on_ladder,
        requests=portal.requests.total - asked,
    )


def _next_probe(loaded: Loaded) -> float:
    """Return when the target, found down, is tried again, in seconds since the epoch; 0 while it is not."""
    health = loaded.health()
    return health.open_until if health.failures >= THRESHOLD and health.open_until > time.time() else 0.0


def _ratio(
    of: Callable[[Sequence[float]], float], disturbed: Sequence[float], undisturbed: Sequence[float]
) -> float | None:
    return round(of(disturbed) / of(undisturbed), 3) if undisturbed else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; print each outage, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=int, default=20_000, help="results of the backlog")
    parser.add_argument("--per-event", type=int, default=10, help="results in one event")
    parser.add_argument("--probes", type=int, default=4, help="probes that are watched")
    parser.add_argument("--mode", action="append", choices=MODES, help="how the target is down (default: each)")
    parser.add_argument("--no-calm", action="store_true", help="no comparison of latencies: for long backlogs")
    parser.add_argument("--again", action="store_true", help="a second calm run in the end, to see the machine's noise")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(argv)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="testbus-outage-")))
        urls = stack.enter_context(services.rabbitmq(folder)), stack.enter_context(services.database(folder))
        loaded = stack.enter_context(opened(folder, *urls, results=options.results, per_event=options.per_event))
        undisturbed = [] if options.no_calm else calm(loaded)
        figures = [outage(loaded, mode, options.probes, undisturbed) for mode in options.mode or MODES]
        again = _ratio(statistics.median, calm(loaded), undisturbed) if options.again and undisturbed else None
    for one in figures:
        print("  ".join(f"{name} {value}" for name, value in one.summary.items()))
    if options.json:
        print(json.dumps({one.mode: one.summary for one in figures} | {"calm_again_ratio": again}))
    return 0


def _until(predicate: Callable[[], bool], description: str) -> None:
    """Wait for what takes work; the sandbox is in this process, and a look at all of its items is work too."""
    deadline = time.monotonic() + _PATIENCE_S
    while not predicate():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {_PATIENCE_S:g} s: {description}")
        time.sleep(_LOOK_S)


def _p90(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


if __name__ == "__main__":
    raise SystemExit(main())
