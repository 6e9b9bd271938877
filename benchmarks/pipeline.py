"""How fast results become verdicts: the whole pipeline beside what decoding and acknowledging alone reach.

    python -m benchmarks.pipeline --results 40000 --json [--per-event 200] [--per-run 2000] [--reportportal]

Real RabbitMQ and PostgreSQL, and one Celery worker process for each of runs, gates, regressions, jira and slack
(`--reportportal` adds one). The load has 6 % failures, 1 % of its events twice, coverage and the starter rules. All
of it waits in the queues before the workers go on. Every verdict is held against the load's own counts.

The floor, in the same run: five queues with the same events, and five processes that decode each event as consumers
do, and acknowledge it. `ratio` is the pipeline's results per second in those of the floor.

`cpu_us_per_result` is the processor time of each worker, and of the database's backends, in microseconds for each
result; `rss_mb` the most memory that each worker ever had; `verdict_s` the seconds from the last event of a run, with
idle workers, to its verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil
import psycopg
from psycopg import sql

from benchmarks.pipeline_load import Load, Run
from harness import services
from harness.deployment import START_S, Deployment
from harness.private_postgresql import libpq
from harness.support import wait_until
from testbus_broker.connection import connected
from testbus_broker.message import message_of
from testbus_broker.publisher import open_publisher
from testbus_broker.queues import depths
from testbus_broker.topology import Subscription
from testbus_consumers.store.engine import schema_name
from testbus_sandbox import Sandbox
from testbus_schemas import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from testbus_broker.message import Message

#: Seconds for which anything that takes work is waited for, and between two looks.
_PATIENCE_S: Final = 3600.0
_LOOK_S: Final = 0.05

#: Processes of the floor: as many as consumers received every result before there was a record.
_FLOOR: Final = 5

#: Messages that a process of the floor holds at a time.
_PREFETCH: Final = 50


@dataclass(kw_only=True)
class Pipeline(Deployment):
    """One worker process for each consumer."""

    portals: tuple[str, ...] = ()
    started: bool = False
    sandbox: Sandbox = field(default_factory=lambda: Sandbox(reportportals=("a",), channels=("ci",), jira=True))

    @property
    def queues(self) -> list[str]:
        """Return the queues of the configuration."""
        portals = (f"reportportal.{name}" for name in self.portals)
        return ["runs", "gates", "requests", "regressions", "jira", "slack", *portals]

    def start(self, queue: str) -> None:
        """Start the worker of a queue."""
        self.start_worker(queue, "-c", "1", "-Q", Subscription(name=queue).queue)

    def _configuration(self) -> dict[str, Any]:
        configured = super()._configuration()
        jira = self.sandbox.jira
        configured["consumers"] |= {
            "regressions": {},
            "jira": {
                "url": jira.url,
                "user": jira.user,
                "token": self._secret("jira", jira.token),
                "project": jira.project,
                "branches": ["*"],
            },
        }
        configured["consumers"]["slack"] |= {"seconds_per_message": 0}
        return configured

    def processes(self, queue: str) -> list[psutil.Process]:
        """Return the processes of a queue's worker."""
        worker = psutil.Process(self._workers[queue].pid)
        return [worker, *worker.children(recursive=True)]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every worker."""
        for queue in self.queues:
            for process in self.processes(queue):
                process.send_signal(number)

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time of each worker so far, and of the database's backends, in seconds."""
        used = {queue: sum(sum(process.cpu_times()[:2]) for process in self.processes(queue)) for queue in self.queues}
        with self._database() as connection:
            query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            pids = [pid for (pid,) in connection.execute(query)]
        used["database"] = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids if psutil.pid_exists(pid))
        return used

    def quiet(self) -> bool:
        """Tell whether nothing waits in a queue, is handled, or follows from what was."""
        names = [Subscription(name=queue).queue for queue in self.queues]
        if any(depth is None or depth.messages for depth in depths(self.amqp_url, names).values()):
            return False
        with self._database() as connection:
            for queue in self.queues:
                schema = sql.Identifier(schema_name(queue))
                due = sql.SQL("SELECT 1 FROM {}.testbus_job WHERE name = 'testbus.complete' AND status <> 'dead'")
                if connection.execute(due.format(schema)).fetchone():
                    return False
                held = sql.SQL("SELECT 1 FROM {}.testbus_delivery WHERE status = 'retrying'")
                if connection.execute(held.format(schema)).fetchone():
                    return False
        return True

    def verdicts(self) -> dict[str, tuple[str, dict[str, int]]]:
        """Return verdict and counts of each run."""
        with self._database() as connection:
            rows = connection.execute("SELECT run, verdict, evaluation FROM testbus_gates.verdict").fetchall()
        return {run: (verdict, evaluation["counts"]) for run, verdict, evaluation in rows}

    def _database(self) -> psycopg.Connection[Any]:
        return psycopg.connect(libpq(self.database_url), autocommit=True)


def messages(runs: Sequence[Run], rng: random.Random, *, duplicates: float = 0.01) -> Iterator[Message]:
    """Yield the messages of runs, one run after the other; some of them come twice."""
    for run in runs:
        for event in run.events:
            message = message_of(event)
            yield message
            if rng.random() < duplicates:
                yield message


def publish(url: str, found: Sequence[Message]) -> None:
    """Publish messages, confirmed."""
    publisher = open_publisher(url)
    try:
        for at in range(0, len(found), 200):
            publisher.publish(found[at : at + 200], 120)
    finally:
        publisher.close(5)


def measure(pipeline: Pipeline, load: Load, rng: random.Random) -> dict[str, Any]:
    """Return what the pipeline does with a load that waits in its queues."""
    for queue in pipeline.queues:
        pipeline.start(queue)
    wait_until(pipeline.all_consumed, START_S, "every queue has a worker")
    # Each worker has connected, read its configuration, and imported what it needs.
    warm = load.run(2000)
    publish(pipeline.amqp_url, list(messages([warm], rng)))
    wait_until(lambda: warm.id in pipeline.verdicts() and pipeline.quiet(), _PATIENCE_S, "the first run is judged")
    pipeline.signal(signal.SIGSTOP)
    before = pipeline.cpu_s()
    runs = load.runs()
    publish(pipeline.amqp_url, list(messages(runs, rng)))
    began = time.monotonic()
    pipeline.signal(signal.SIGCONT)
    wait_until(lambda: len(pipeline.verdicts()) > len(runs), _PATIENCE_S, "every run is judged")
    while not pipeline.quiet():
        time.sleep(_LOOK_S)
    took = time.monotonic() - began
    used = {name: seconds - before[name] for name, seconds in pipeline.cpu_s().items()}
    results = sum(run.results for run in runs)
    wrong = [run.id for run in runs if pipeline.verdicts()[run.id] != (run.verdict, run.counts)]
    if wrong:
        raise SystemExit(f"verdicts that are not what the load says: {', '.join(wrong[:3])}")
    cpu = {name: round(seconds / results * 1e6, 1) for name, seconds in used.items()}
    return {
        "results_per_s": round(results / took),
        "cpu_us_per_result": cpu | {"sum": round(sum(cpu.values()), 1)},
        "rss_mb": {queue: round(pipeline.peak_rss(queue) / 2**20) for queue in pipeline.queues},
        "verdict_s": round(_verdict_s(pipeline, load), 2),
    }


def _verdict_s(pipeline: Pipeline, load: Load) -> float:
    """Return the seconds from the last event of a run, with idle workers, to its verdict."""
    run = load.run(2000)
    found = [message_of(event) for event in run.events]
    publish(pipeline.amqp_url, found)
    began = time.monotonic()
    while run.id not in pipeline.verdicts():
        time.sleep(_LOOK_S)
    return time.monotonic() - began


def floor(url: str, load: Load, rng: random.Random) -> float:
    """Return the results per second of five processes that decode and acknowledge the same events."""
    runs = load.runs()
    found = list(messages(runs, rng))
    names = [f"floor.{number}" for number in range(_FLOOR)]
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for name in names:
            channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
            channel.queue_bind(name, "testbus.events", "#")
    publish(url, found)
    command = [sys.executable, "-m", "benchmarks.pipeline", "--consume", url]
    workers = [
        subprocess.Popen([*command, name, "--count", str(len(found))], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in names
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    began = time.monotonic()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
        worker.stdin.close()
    for worker in workers:
        worker.wait()
    took = time.monotonic() - began
    with connected(url) as connection:
        for name in names:
            connection.channel().queue_delete(name)
    return sum(run.results for run in runs) / took


def consume(url: str, queue: str, count: int) -> None:
    """Decode and acknowledge so many messages of a queue: one process of the floor."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=_PREFETCH)
        print("ready", flush=True)
        sys.stdin.readline()
        for number, (method, properties, body) in enumerate(channel.consume(queue), 1):
            decode(body, properties.content_encoding)
            channel.basic_ack(method.delivery_tag)
            if number == count:
                break


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=int, default=40_000)
    parser.add_argument("--per-event", type=int, default=200)
    parser.add_argument("--per-run", type=int, default=10_000, help="results of one run")
    parser.add_argument("--reportportal", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--consume", nargs=2, metavar=("URL", "QUEUE"), help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.consume:
        url, queue = options.consume
        consume(url, queue, options.count)
        return
    figures = _measured(options)
    for name, value in figures.items():
        print(f"{name:20} {value}")
    if options.json:
        print(json.dumps(figures))


def _measured(options: argparse.Namespace) -> Mapping[str, Any]:
    rng = random.Random(options.seed)
    load = Load(results=options.results, per_event=options.per_event, per_run=options.per_run, rng=rng)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        amqp_url = stack.enter_context(services.rabbitmq(folder))
        database_url = stack.enter_context(services.database(folder))
        portals = ("a",) if options.reportportal else ()
        with Pipeline(folder=folder, amqp_url=amqp_url, database_url=database_url, portals=portals) as pipeline:
            found = measure(pipeline, load, rng)
            for queue in pipeline.queues:
                pipeline.stop(queue)
            reached = floor(amqp_url, load, rng)
    ratio = round(found["results_per_s"] / reached, 3)
    return {"floor_results_per_s": round(reached), "ratio": ratio, **found, "processors": os.cpu_count()}


if __name__ == "__main__":
    main()
