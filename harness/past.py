"""A deployment with a past: runs that are over, what every consumer keeps of them, and replays beside live runs."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, create_engine

from harness.deployment import Deployment
from harness.events import FakeProducer
from harness.support import wait_until
from testbus_broker.message import message_of
from testbus_broker.publisher import open_publisher
from testbus_broker.topology import Subscription
from testbus_consumers.store.engine import schema_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from testbus_broker.message import Message
    from testbus_sandbox.reportportal.models import Launch
    from testbus_schemas import Event, EventData

#: Project of the runs that go on meanwhile, so that nothing of the past is compared with them.
LIVE = "live"

#: Events of a run besides its results that `reportportal` reacts to: it began, it is complete, it has a verdict.
FOR_REPORTPORTAL = 3

#: Columns that say when something was done, how often it was set, or which words were found for it; and not what.
TIMES = frozenset(
    {
        "heard_at",
        "updated_at",
        "evaluated_at",
        "compared_at",
        "silent_at",
        "due_at",
        "setting",
        "recorded_at",
        "decided_at",
    }
)
WORDS = frozenset({"reason"})

#: Tables that hold no results.
OTHERS = frozenset({"testbus_version", "testbus_lease", "testbus_control", "testbus_job"})

#: Seconds without a change after which nothing is taken to be under way.
_SILENCE_S = 2.0

#: Messages that are published at a time.
_BATCH = 1000


def picture(launches: Iterable[Launch]) -> list[Any]:
    """Return what a person sees of launches, whatever their ids are."""
    return sorted(
        (
            launch.description,
            str(launch.status),
            launch.end_time,
            sorted(
                (item.name, str(item.status), str(item.start_time), [log.message for log in item.logs])
                for item in launch.items
            ),
        )
        for launch in launches
    )


@dataclass(kw_only=True)
class WithRegressions(Deployment):
    """A deployment that compares runs, too."""

    #: The queues that have workers; empty for all of them.
    only: tuple[str, ...] = ()

    @property
    def queues(self) -> list[str]:
        """Return the queues that have workers."""
        return list(self.only) or [*super().queues, "regressions"]

    def start(self, queue: str) -> None:
        """Start the worker of a queue: threads are enough, and many processes would only wait for each other."""
        self.start_worker(queue, "-P", "threads", "-c", "2", "-Q", Subscription(name=queue).queue)

    def _configuration(self) -> dict[str, Any]:
        configuration = super()._configuration()
        configuration |= {"components": {"shop": {"paths": ["shop/*"]}}}
        configuration["consumers"] |= {"regressions": {}}
        return configuration


def events_of(run: str, results: int, project: str = "web") -> Iterator[Event[EventData]]:
    """Yield the events of a run with so many results, each of them in an event of its own; every tenth failed."""
    names = [f"test_{number}" for number in range(results)]
    producer = FakeProducer(f"producer of {run}", run=run, project=project, branch="main", commit=f"commit of {run}")
    yield producer.started()
    yield producer.collected(*names)
    for number, name in enumerate(names):
        # What fails is another test in each run: there is something to compare.
        yield producer.results(**{name: "failed" if (number + len(run) + sum(run.encode())) % 10 == 0 else "passed"})
    yield producer.coverage("shop/cart.py", "1-10", "1-8")
    yield producer.finished()


def live_events(run: str) -> Iterator[Event[EventData]]:
    """Yield the events of a run that goes on meanwhile."""
    return events_of(run, 3, LIVE)


@dataclass(kw_only=True)
class Past:
    """Runs that are over, in a deployment."""

    #: Where they are.
    deployment: Deployment
    #: Their ids.
    runs: Sequence[str]
    #: Results of each.
    results: int
    #: Seconds that everything about them may take.
    patience_s: float
    #: Live runs so far.
    live: list[str] = field(default_factory=list)

    def publish(self) -> None:
        """Publish all of it."""
        self._publish(event for run in self.runs for event in events_of(run, self.results))

    def publish_live(self, count: int) -> list[str]:
        """Publish so many new runs, and return their ids."""
        begun = [f"live-{len(self.live) + number}" for number in range(count)]
        self.live += begun
        self._publish(event for run in begun for event in live_events(run))
        return begun

    def wait_for(self, target: str, runs: Sequence[str]) -> None:
        """Wait until a ReportPortal has the finished launches of runs, with their verdicts."""
        portal = self.deployment.sandbox.reportportal(target)

        def there() -> bool:
            texts = [launch.description or "" for launch in portal.launches if launch.end_time]
            judged = [text for text in texts if text.startswith(("**Passed**", "**Failed**", "**Incomplete**"))]
            whole = {run for text in judged for run in re.findall(r"`testbus show ([^`]+)`", text)}
            return whole >= set(runs)

        wait_until(there, self.patience_s, f"{target} has {len(runs)} runs")

    def replayed(self, *arguments: str) -> dict[str, Any]:
        """Replay, and return what the command says to a program."""
        answer: dict[str, Any] = json.loads(self.deployment.testbus("replay", *arguments, "--json").stdout)
        return answer

    def while_live(self, *arguments: str, runs: int = 3) -> dict[str, Any]:
        """Replay while new runs are published."""
        with ThreadPoolExecutor(1) as beside:
            publishing = beside.submit(self.publish_live, runs)
            told = self.replayed(*arguments)
            publishing.result()
        return told

    def wait_for_silence(self, queue: str) -> None:
        """Wait until nothing waits in a queue, and nothing changes in its ledger."""
        last: dict[str, tuple[str, int, float]] = {}
        since = time.monotonic()

        def still() -> bool:
            # What is under way waits nowhere: only that nothing changes for a while tells that there is none.
            nonlocal last, since
            now = self._ledger(queue)
            if now != last or self.deployment.depths(queue)["waiting"]:
                last, since = now, time.monotonic()
            return time.monotonic() - since > _SILENCE_S

        wait_until(still, self.patience_s, f"{queue} has nothing more to do")

    def picture(self, target: str) -> list[Any]:
        """Return what a person sees of the runs on a ReportPortal, whatever its ids are."""
        launches = self.deployment.sandbox.reportportal(target).launches
        return picture(one for one in launches if "`testbus show live-" not in (one.description or ""))

    def told(self) -> set[str]:
        """Return the runs that Slack has a message of."""
        messages = self.deployment.sandbox.slack.messages
        return {message.metadata["event_payload"]["run"] for message in messages if message.metadata}

    def said(self) -> list[str]:
        """Return what Slack shows of the runs, replies included."""
        messages = self.deployment.sandbox.slack.messages
        return [
            message.text
            for message in messages
            if message.metadata and not message.metadata["event_payload"]["run"].startswith("live-")
        ]

    def handled(self, queue: str) -> int:
        """Return how many events of the runs a queue has handled."""
        return len(self._ledger(queue))

    def ledgers(self, *but: str) -> dict[str, dict[str, tuple[str, int, float]]]:
        """Return what every other queue did with the events of the runs, and when: event → status, attempts, time."""
        return {queue: self._ledger(queue) for queue in self.deployment.queues if queue not in but}

    def rows(self, queue: str) -> dict[str, list[str]]:
        """Return every row of a consumer that is about the runs, times left out: table → rows in an order."""
        engine = create_engine(self.deployment.database_url)
        found: dict[str, list[str]] = {}
        try:
            metadata = MetaData(schema=schema_name(queue))
            metadata.reflect(engine)
            with engine.connect() as connection:
                for table in metadata.sorted_tables:
                    if table.name not in OTHERS:
                        every = connection.execute(table.select()).mappings()
                        found[table.name] = sorted(_shown(dict(row)) for row in every if not _is_live(dict(row)))
        finally:
            engine.dispose()
        return found

    def _ledger(self, queue: str) -> dict[str, tuple[str, int, float]]:
        engine = create_engine(self.deployment.database_url)
        try:
            with engine.connect() as connection:
                table = MetaData(schema=schema_name(queue))
                table.reflect(engine, only=["testbus_delivery"])
                every = connection.execute(table.sorted_tables[0].select())
                return {
                    row.event_id: (row.status, row.attempts, row.updated_at)
                    for row in every
                    # A ReportPortal that is filled tells of its own launches, as it does of those of new runs.
                    if not row.run.startswith("live-") and row.type != "launch.linked"
                }
        finally:
            engine.dispose()

    def _publish(self, events: Iterator[Event[EventData]]) -> None:
        publisher = open_publisher(self.deployment.amqp_url)
        batch: list[Message] = []
        for event in events:
            batch.append(message_of(event))
            if len(batch) == _BATCH:
                publisher.publish(batch, 120)
                batch.clear()
        publisher.publish(batch, 120)
        publisher.close(5)


def _is_live(row: dict[str, Any]) -> bool:
    return row.get("project") == LIVE or str(row.get("run", "")).startswith("live-")


def _shown(row: dict[str, Any]) -> str:
    kept = {name: value for name, value in row.items() if name not in TIMES | WORDS}
    return json.dumps(kept, sort_keys=True, default=lambda value: bytes(value).decode("utf-8", "replace"))
