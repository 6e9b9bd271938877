"""Replaying many events into one consumer while live runs flow: how fast, and whether it is as if they had come live.

usage: python -m benchmarks.replay [--events 20000] [--reported 1000] [--json]

RabbitMQ, PostgreSQL, two ReportPortals and a Slack; one worker of two threads for each queue. Runs of 100 events each.

First `--events` wait in every queue, whose workers are not there; then a ReportPortal is added, and filled from the
stream while new runs are published. What the other queues hold tells to the message whether they received any.

Then `--reported` go through everything, a ReportPortal and a Slack that were not there are filled, and filled again;
and `runs`, `gates` and `regressions` are recomputed. New runs are published all the while.

`…_s` is from a command's start until all that follows from it is done, `sent_per_s` what the command alone did. `ratio`
compares how long the new ReportPortal took for its events with how long the old one took for them live. The faults have
to be 0: `others_received` messages of the past in any other queue or ledger, `missing` events that did not come,
`launches_different` of the two ReportPortals, `said` messages of Slack about old runs, `sent_twice` events of a second
replay, `rows_different` tables that are not as before a recompute. Exits 1 when one is not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import services
from harness.deployment import Deployment
from harness.past import FOR_REPORTPORTAL, Past, WithRegressions, events_of, live_events
from harness.support import wait_until
from testbus_broker.topology import Subscription
from testbus_consumers import registry
from testbus_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Results of each run.
_RESULTS: Final = 97

#: Seconds that each part may take, and more for each event.
_PATIENCE_S: Final = 300.0
_PATIENCE_PER_EVENT_S: Final = 0.1

#: Consumers that are recomputed.
_RECOMPUTED: Final = ("runs", "gates", "regressions")

#: What has to be 0.
_FAULTS: Final = ("others_received", "missing", "launches_different", "said", "sent_twice", "rows_different")


def main(arguments: list[str]) -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000, help="events that one new consumer is to get")
    parser.add_argument("--reported", type=int, default=1_000, help="events that a new ReportPortal is to get")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    one = _deployed(options.events, portals=(), idle=True, measure=_one_consumer) if options.events else {}
    every = _deployed(options.reported, portals=("a",), idle=False, measure=_everything) if options.reported else {}
    figures = {"one_consumer": one, "everything": every}
    for part, measured in figures.items():
        for name, value in measured.items():
            print(f"{part:14} {name:24} {value}", file=sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps(figures))
    return int(any(measured.get(fault) for measured in figures.values() for fault in _FAULTS))


def _deployed(
    events: int, *, portals: tuple[str, ...], idle: bool, measure: Callable[[Past], dict[str, Any]]
) -> dict[str, Any]:
    """Return what is measured in a deployment of its own; an `idle` one has no workers."""
    folder = Path(tempfile.mkdtemp(prefix="testbus-replay-"))
    with ExitStack() as stack:
        deployment = (Deployment if idle else WithRegressions)(
            folder=folder,
            amqp_url=stack.enter_context(services.rabbitmq(folder)),
            database_url=stack.enter_context(services.database(folder)),
            sandbox=Sandbox(reportportals=("a", "c"), channels=("ci",)),
            portals=portals,
            slack=False,
            started=not idle,
        )
        stack.enter_context(deployment)
        runs = [f"past-{number}" for number in range(round(events / (_RESULTS + FOR_REPORTPORTAL)))]
        patience = _PATIENCE_S + events * _PATIENCE_PER_EVENT_S
        past = Past(deployment=deployment, runs=runs, results=_RESULTS, patience_s=patience)
        return {"runs": len(runs)} | measure(past)


def _one_consumer(past: Past) -> dict[str, Any]:
    """Fill one new consumer while nobody else takes anything from the queues."""
    idle = past.deployment
    past.publish()
    before = {queue: idle.depths(queue)["waiting"] for queue in idle.queues}
    with WithRegressions(
        folder=idle.folder,
        amqp_url=idle.amqp_url,
        database_url=idle.database_url,
        portals=("c",),
        slack=False,
        only=("reportportal.c",),
        sandbox=Sandbox(reportportals=("c",), channels=("ci",)),
    ) as deployment:
        past.deployment = deployment
        _note(f"filling one consumer with {before['runs']} events of the past, of which it wants some")
        began = time.monotonic()
        replayed = past.while_live("reportportal/c", runs=20)
        sent_s = time.monotonic() - began
        keys = [event.routing_key for run in past.runs for event in events_of(run, past.results)]
        wanted = _wanted("reportportal", keys)
        wait_until(lambda: past.handled("reportportal.c") >= wanted, past.patience_s, "it has what it wants")
        past.wait_for_silence("reportportal.c")
        figures = {
            "sent": replayed["sent"],
            "sent_per_s": round(replayed["sent"] / sent_s),
            "fill_s": round(time.monotonic() - began, 1),
            "missing": wanted - past.handled("reportportal.c"),
            "sent_twice": past.replayed("reportportal/c")["sent"],
        }
    # The live runs, and what the new ReportPortal itself tells of its launches.
    others = [event.routing_key for run in past.live for event in live_events(run)]
    linked = idle.testbus("events", "--type", "launch.linked", "--json").stdout.splitlines()
    others += ["launch.linked.web"] * len(linked)
    received = {queue: idle.depths(queue)["waiting"] - before[queue] - _wanted(queue, others) for queue in before}
    return figures | {"others_received": sum(map(abs, received.values()))}


def _wanted(consumer: str, routing_keys: Iterable[str]) -> int:
    """Return how many events with these keys are for a consumer's queues."""
    subscription = Subscription(name=consumer, patterns=registry.load_consumer(consumer).patterns)
    return sum(subscription.wants(key) for key in routing_keys)


def _everything(past: Past) -> dict[str, Any]:
    """Let the runs go through everything, fill what is new, and recompute."""
    figures = _live(past)
    return figures | _fill(past, figures["live_s"]) | _recompute(past, _RECOMPUTED)


def _live(past: Past) -> dict[str, Any]:
    """Let the runs go through everything."""
    _note(f"{len(past.runs)} runs go through everything")
    began = time.monotonic()
    past.publish()
    past.wait_for("a", past.runs)
    took = time.monotonic() - began
    for queue in past.deployment.queues:
        past.wait_for_silence(queue)
    return {"live_s": round(took, 1)}


def _fill(past: Past, live_s: float) -> dict[str, Any]:
    """Add a ReportPortal and a Slack, and fill both while new runs flow; then fill them again."""
    deployment = past.deployment
    deployment.portals, deployment.slack = ("a", "c"), True
    deployment.set_up()
    before = past.ledgers("reportportal.c", "slack")
    _note("filling a new ReportPortal and a new Slack")
    began = time.monotonic()
    told = past.while_live("reportportal/c", runs=20)
    sent_s = time.monotonic() - began
    past.wait_for("c", [*past.runs, *past.live])
    took = time.monotonic() - began
    past.replayed("slack")
    for queue in deployment.queues:
        past.wait_for_silence(queue)
    different = [one for one, other in zip(past.picture("c"), past.picture("a"), strict=True) if one != other]
    return {
        "sent": told["sent"],
        "sent_per_s": round(told["sent"] / sent_s),
        "fill_s": round(took, 1),
        "ratio": round(took / live_s, 2),
        "others_received": _changed(before, past.ledgers("reportportal.c", "slack")),
        "launches_different": len(different),
        "said": len(past.said()),
        "sent_twice": past.replayed("reportportal/c")["sent"] + past.replayed("slack")["sent"],
    }


def _recompute(past: Past, consumers: Sequence[str]) -> dict[str, Any]:
    """Recompute what has rows of its own, while new runs flow."""
    figures: dict[str, Any] = {"rows_different": 0}
    for consumer in consumers:
        _note(f"recomputing {consumer}")
        before = past.rows(consumer)
        began = time.monotonic()
        told = past.while_live(consumer, "--recompute", "--project", "web", runs=5)
        past.wait_for_silence(consumer)
        figures[f"{consumer}_recompute_s"] = round(time.monotonic() - began, 1)
        figures[f"{consumer}_recomputed"] = told["sent"]
        after = past.rows(consumer)
        figures["rows_different"] += sum(before[table] != after[table] for table in before)
    return figures


def _changed(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> int:
    """Return how many entries of ledgers are not as they were."""
    return sum(
        before[queue].get(event) != after[queue].get(event)
        for queue in before
        for event in before[queue].keys() | after[queue].keys()
    )


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
