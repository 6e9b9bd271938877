"""A deployment under a load of results, one of whose targets can go down; and what can be asked of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, select

from harness.deployment import START_S, Deployment
from harness.events import FakeProducer
from harness.processes import free_port
from harness.support import wait_until
from testbus_broker.message import message_of
from testbus_broker.publisher import open_publisher
from testbus_consumers.store import control, deliveries, open_store
from testbus_consumers.store.tables import DELIVERY
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


#: The target that goes down, and the consumers that must not notice.
VICTIM: Final = "reportportal.b"
OTHERS: Final = ("runs", "reportportal.a")

#: Results of one run.
_PER_RUN: Final = 2000

#: Events whose latency is compared: those that carry results.
_RECORDED: Final = frozenset({"results.recorded"})


@dataclass(kw_only=True)
class Loaded:
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
            publisher.publish([message_of(event) for event in events], 60)
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

    def latencies(self, runs: Sequence[str]) -> list[float]:
        """Return how long each event of the runs took from its recording until each of the others was done with it."""
        return [latency for queue in OTHERS for latency in self._latencies(queue, runs)]

    def _latencies(self, queue: str, runs: Sequence[str]) -> list[float]:
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

    def depth(self) -> tuple[int, int]:
        """Return how many events wait in the victim's queue, and in its retry delays."""
        told = json.loads(self.deployment.testbus("status", "--json").stdout)["queues"]
        one = next(queue for queue in told if queue["consumer"] == VICTIM.replace(".", "/"))
        return int(one["depth"]), int(one["retrying"])

    def caught_up(self, runs: Sequence[str]) -> bool:
        """Tell whether the victim has done everything."""
        return self.handled(VICTIM) >= self.events and self.arrived("b", runs)


@contextmanager
def opened(folder: Path, amqp_url: str, database_url: str, *, results: int, per_event: int) -> Iterator[Loaded]:
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
            yield Loaded(deployment=deployment, port=port, results=results, per_event=per_event)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
