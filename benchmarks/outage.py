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
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, select

from testbus_broker.message import Message
from testbus_broker.publisher import open_publisher
from testbus_consumers.runtime.breaker import THRESHOLD
from testbus_consumers.store import control, deliveries, open_store
from testbus_consumers.store.tables import DELIVERY
from testbus_schemas import encode
from testbus_schemas.identity import new_id
from tests import services
from tests.consumers.events import FakeProducer
from tests.pipeline.deployment import SOON_S, START_S, Deployment
from tests.processes import free_port
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: The target that goes down, and the consumers that must not notice.
VICTIM: Final = "reportportal.b"
OTHERS: Final = ("runs", "gates", "reportportal.a")

#: How the target can be down.
MODES: Final = ("refuse", "hang")

#: Results of one run.
_PER_RUN: Final = 2000

#: Seconds before the first probe at which counting begins.
_EARLY_S: Final = 1.0

#: Seconds for which anything that takes work is waited for, and between two looks.
_PATIENCE_S: Final = 3600.0
_LOOK_S: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured in one outage."""

    #: How the target was down.
    mode: str
    #: Results that were published meanwhile, and the events that waited for the dead target in the end.
    results: int
    backlog_events: int
    #: Deliveries until the target was found down, and of what had been fetched by then.
    at_first: int
    #: Times the target was tried again.
    probes: int
    #: Deliveries, each with one publication to the ladder, from the first probe on.
    deliveries: int
    #: The former for each probe.
    deliveries_per_probe: float
    #: Events that waited in the queue itself, and on its ladder, at the last probe.
    waiting: int
    on_ladder: int
    #: Requests (or, while it refused them, failed calls) at the target, from when it went down.
    requests: int
    #: Whether all arrived after the outage, the same as at the other target, and none as a dead letter.
    recovered: bool
    #: Seconds that this took, and results a second.
    recovery_s: float
    results_per_s: float
    #: Median and 90th percentile of the others' latency, relative to the calm run's; None without one.
    latency_ratio: float | None
    latency_ratio_p90: float | None


@dataclass(kw_only=True)
class Outage:
    """One deployment, under load; made by `opened`."""

    deployment: Deployment
    port: int
    results: int
    per_event: int
    #: Events with results that were published by the load that runs, and by those before it.
    events: int = 0
    before: int = 0

    def load(self) -> list[str]:
        """Publish as many results as are wanted, and return their runs."""
        runs = []
        self.before += self.events
        self.events = 0
        publisher = open_publisher(self.deployment.amqp_url)
        left = self.results
        while left > 0:
            run, size = new_id(), min(_PER_RUN, left)
            runs.append(run)
            producer = FakeProducer(run, run=run)
            names = [f"test_{number}" for number in range(size)]
            batches = (names[at : at + self.per_event] for at in range(0, size, self.per_event))
            events = [producer.started(), producer.collected(*names)]
            recorded = [producer.results(**dict.fromkeys(batch, "passed")) for batch in batches]
            events += recorded
            self.events += len(recorded)
            events.append(producer.finished())
            publisher.publish([_message(event) for event in events], 60)
            left -= size
        publisher.close(5)
        return runs

    def arrived(self, target: str, runs: Sequence[str]) -> bool:
        """Tell whether a ReportPortal has every result of the runs, and their launches are finished."""
        launches = [self.deployment.launch(target, run) for run in runs]
        if any(launch is None or launch.end_time is None for launch in launches):
            return False
        items = [item for launch in launches for item in launch.items]
        # What holds other items is a suite, and no result.
        suites = {item.parent for item in items}
        return sum(item.uuid not in suites for item in items) == self.results

    def others_done(self, runs: Sequence[str]) -> bool:
        """Tell whether everybody but the victim has done everything."""
        return all(self.handled(queue) >= self.events for queue in OTHERS) and self.arrived("a", runs)

    def handled(self, queue: str) -> int:
        """Return how many events with results a consumer has done since the load began."""
        store = open_store(self.deployment.database_url, queue)
        try:
            with store.begin() as connection:
                done = select(func.count()).select_from(DELIVERY)
                done = done.where(DELIVERY.c.status == "done", DELIVERY.c.type.in_(_RECORDED))
                return int(connection.execute(done).scalar_one()) - self.before
        finally:
            store.close()

    def latencies(self, queue: str, runs: Sequence[str]) -> list[float]:
        """Return how long each event of the runs took from its recording until a consumer was done with it."""
        store = open_store(self.deployment.database_url, queue)
        try:
            with store.begin() as connection:
                rows = [row for run in runs for row in deliveries.of_run(connection, run)]
        finally:
            store.close()
        return [row.updated_at - row.recorded_at for row in rows if row.status == "done" and row.type in _RECORDED]

    def settled(self) -> int:
        """Return how many deliveries of the victim's queue were settled so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return int(
            sum(
                sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == "testbus_events_total" and sample.labels["queue"] == VICTIM
            )
        )

    def health(self) -> control.Health:
        """Return what the victim's control row says of the target."""
        store = open_store(self.deployment.database_url, VICTIM)
        try:
            with store.begin() as connection:
                row = control.read(connection)
        finally:
            store.close()
        return row.health if row else control.Health()

    def caught_up(self, runs: Sequence[str]) -> bool:
        """Tell whether the victim has done everything."""
        return self.handled(VICTIM) >= self.events and self.arrived("b", runs)

    def calm(self) -> list[float]:
        """Return the others' latencies while everything is up."""
        runs = self.load()
        _until(lambda: self.others_done(runs) and self.caught_up(runs), "the calm run is over")
        return self._others(runs)

    def outage(self, mode: str, probes: int, calm: list[float] | None = None) -> Figures:
        """Take the target down under load, watch so many probes, and let it come back.

        With the latencies of a `calm` run the outage lasts until the others have done everything, and is compared.
        """
        portal = self.deployment.sandbox.reportportal("b")
        dead = self.deployment.depths(VICTIM)["dead"]
        began, asked = self.settled(), portal.requests.total
        {"refuse": portal.faults.refuse, "hang": portal.faults.hang}[mode]()
        try:
            runs = self.load()
            first = wait_until(self._open, SOON_S * 4, "the target is found down").open_until
            # What was fetched before has been put off by then, and the first probe is still to come.
            wait_until(lambda: time.time() > first - _EARLY_S, SOON_S, "the first probe is near")
            at_open = self.settled()
            seen = {first}
            _until(lambda: self._saw(seen) > probes, "it was tried again")
            if calm:
                _until(lambda: self.others_done(runs), "the others have done everything")
            seen_in_all = self._saw(seen) - 1
            at_end = self.settled()
            depth = self._depth()
            requests = portal.requests.total - asked
        finally:
            portal.faults.clear()
        back = time.monotonic()
        _until(lambda: self.caught_up(runs), "the target has caught up")
        took = time.monotonic() - back
        outage = self._others(runs) if calm else []
        return Figures(
            mode=mode,
            results=self.results,
            backlog_events=sum(depth),
            at_first=at_open - began,
            probes=seen_in_all,
            deliveries=at_end - at_open,
            deliveries_per_probe=round((at_end - at_open) / max(1, seen_in_all), 2),
            waiting=depth[0],
            on_ladder=depth[1],
            requests=requests,
            recovered=self.arrived("b", runs) and self.deployment.depths(VICTIM)["dead"] == dead,
            recovery_s=round(took, 1),
            results_per_s=round(self.results / took, 1),
            latency_ratio=round(statistics.median(outage) / statistics.median(calm), 3) if calm else None,
            latency_ratio_p90=round(_p90(outage) / _p90(calm), 3) if calm else None,
        )

    def _others(self, runs: Sequence[str]) -> list[float]:
        return [latency for queue in OTHERS for latency in self.latencies(queue, runs)]

    def _open(self) -> control.Health | None:
        health = self.health()
        return health if health.failures >= THRESHOLD and health.open_until > time.time() else None

    def _saw(self, seen: set[float]) -> int:
        """Note when the target is tried next, and return how many such moments there were."""
        seen.add(self.health().open_until)
        return len(seen)

    def _depth(self) -> tuple[int, int]:
        told = json.loads(self.deployment.testbus("status", "--json").stdout)["queues"]
        one = next(queue for queue in told if queue["consumer"] == VICTIM.replace(".", "/"))
        return int(one["depth"]), int(one["retrying"])


#: Events whose latency is compared: those that carry results.
_RECORDED: Final = frozenset({"results.recorded"})


@contextmanager
def opened(folder: Path, amqp_url: str, database_url: str, *, results: int, per_event: int) -> Iterator[Outage]:
    """Give a deployment with its workers running; they end with the block."""
    port = free_port()
    with Deployment(
        folder=folder, amqp_url=amqp_url, database_url=database_url, slack=False, started=False
    ) as deployment:
        command = [sys.executable, "-m", "testbus", "worker", "--all", "--metrics-port", str(port)]
        with (folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(command, env=deployment.environment(), cwd=folder, stdout=log, stderr=log)
        try:
            wait_until(deployment.all_consumed, START_S * 2, "every queue has a worker")
            yield Outage(deployment=deployment, port=port, results=results, per_event=per_event)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


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
        outage = stack.enter_context(opened(folder, *urls, results=options.results, per_event=options.per_event))
        calm = None if options.no_calm else outage.calm()
        figures = [outage.outage(mode, options.probes, calm) for mode in options.mode or MODES]
        again = round(statistics.median(outage.calm()) / statistics.median(calm), 3) if options.again and calm else None
    for one in figures:
        print("  ".join(f"{name} {value}" for name, value in asdict(one).items()))
    if options.json:
        print(json.dumps({one.mode: asdict(one) for one in figures} | {"calm_again_ratio": again}))
    return 0


def _until(predicate: Callable[[], bool], description: str) -> None:
    """Wait for what takes work; the sandbox is in this process, and a look at all of its items is work too."""
    deadline = time.monotonic() + _PATIENCE_S
    while not predicate():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {_PATIENCE_S:g} s: {description}")
        time.sleep(_LOOK_S)


def _message(event: object) -> Message:
    encoded = encode(event)  # type: ignore[arg-type] # of any data
    return Message(
        body=encoded.body,
        content_encoding=encoded.content_encoding,
        routing_key=event.routing_key,  # type: ignore[attr-defined]
        message_id=event.id,  # type: ignore[attr-defined]
    )


def _p90(values: list[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


if __name__ == "__main__":
    raise SystemExit(main())
