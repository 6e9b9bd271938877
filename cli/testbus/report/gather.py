"""What the events of one run add up to, in whatever order and however often they come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.records.models import Attempt as KeptAttempt
from testbus_consumers.records.models import Test as KeptTest
from testbus_schemas import (
    CoverageRecorded,
    Failure,
    GateEvaluated,
    IssueLinked,
    LaunchLinked,
    ProducerFinished,
    ProducerHeartbeat,
    ProducerStarted,
    RegressionDetected,
    RegressionRecovered,
    ResultsRecorded,
    RunCompleted,
    RunInterrupted,
    RunReopened,
    Shard,
    TestsCollected,
    fingerprint,
)
from testbus_schemas.path_rules import PathRules
from testbus_schemas.results import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from testbus_consumers.records.coverage import FileSums
    from testbus_consumers.records.parts import Place
    from testbus_consumers.records.reading import Record
    from testbus_schemas import Event, EventData, Outcome, Result, RunContext


@dataclass(frozen=True, kw_only=True, slots=True)
class GatheredAttempt:
    """What is kept of one attempt of one test: little, because there are many."""

    #: Orders contradicting copies of one attempt: the earliest event's holds.
    rank: tuple[datetime, str]
    #: How it ended.
    outcome: Outcome
    #: Seconds.
    duration_s: float
    #: Source file.
    file: str | None
    line: int | None
    #: Fingerprint of why it did not pass; empty where it passed, or nobody knows why not.
    cause: str
    #: Why it did not pass.
    failures: tuple[Failure, ...]
    #: What it printed; kept of bad ones only.
    output: tuple[Output, ...]


@dataclass(kw_only=True)
class Heard:
    """Everything that one producer said."""

    #: Its context, and which event it is from: the earliest.
    context: tuple[tuple[datetime, str], RunContext]
    #: Counted events, by type.
    received: Counter[str] = field(default_factory=Counter)
    #: Its first event.
    started: ProducerStarted | None = None
    #: Its last event.
    finished: ProducerFinished | None = None
    #: Names of the tests it collected.
    collected: set[str] = field(default_factory=set)
    #: Attempts by node id and number.
    attempts: dict[str, dict[int, GatheredAttempt]] = field(default_factory=dict)
    #: Coverage of files, as `merge_coverage` takes it.
    coverage: list[Mapping[str, Any]] = field(default_factory=list)


class Gathered:
    """Takes the events of one run one by one; equal ids are the same event."""

    def __init__(self, paths: PathRules | None = None) -> None:
        """Begin with nothing; `paths` say where measured files are in the repository."""
        #: Where measured files are in the repository.
        self.paths = paths or PathRules()
        self._ids: set[str] = set()
        #: Producers by id; the id is empty for what names none.
        self.producers: dict[str, Heard] = {}
        self.decisions: list[Event[RunCompleted | RunInterrupted]] = []
        #: Corrections of such decisions.
        self.reopenings: list[Event[RunReopened]] = []
        self.verdicts: list[Event[GateEvaluated]] = []
        self.issues: list[Event[IssueLinked]] = []
        self.launches: list[Event[LaunchLinked]] = []
        #: What became better or worse.
        self.changes: list[Event[RegressionDetected | RegressionRecovered]] = []
        #: A context of each event that no producer sent.
        self.derived_contexts: list[tuple[tuple[datetime, str], RunContext]] = []
        #: Whether nothing that the decision counted can be absent: it was kept with the decision.
        self.whole = False
        #: What ran of each file, where that is kept added up.
        self.measured: tuple[FileSums, ...] | None = None

    @property
    def events(self) -> int:
        """Return how many different events there were."""
        return len(self._ids)

    @property
    def has_coverage(self) -> bool:
        """Tell whether anybody measured anything."""
        return bool(self.measured) or any(heard.coverage for heard in self.producers.values())

    def add(self, event: Event[Any]) -> None:
        """Take one event; one of a type that says nothing for a report is only counted."""
        if event.id in self._ids:
            return
        self._ids.add(event.id)
        keep = _KEEPERS.get(type(event.data))
        if keep is not None:
            keep(self, event)
        elif event.data.producer is not None:
            # Counted: it was one of those that the run was decided on.
            self.heard(event)
        if event.data.producer is None:
            self.derived_contexts.append((_rank(event), event.data.context))

    def add_up(self, record: Record, context: RunContext) -> None:
        """Take what a record keeps of a run whose events are gone; `context` is the run's.

        What tests printed is gone with them.
        """
        rank = (record.ordered_at, "")
        for producer in record.producers:
            shard = Shard(index=producer.shard) if producer.shard else None
            own = {"variant": producer.variant, "shard": shard, "attempt": producer.attempt}
            self.producers.setdefault(producer.id, Heard(context=(rank, context.model_copy(update=own))))
        attempts = [one for one in record.attempts(replaced=True) if one.attempt]
        reasons = _failures(record, attempts)
        places = {(producer, name): place for producer, name, place in record.places(replaced=True)}
        for one in attempts:
            place = places.get((one.producer, one.node_id))
            self._add(rank, one, place, reasons.get((one.producer, one.node_id, one.attempt)))
        for test in record.tests(replaced=True):
            # One without a result is an attempt of number 0: how it ended is known.
            if test.node_id not in self.producers[test.producer].attempts:
                self._add(rank, test, places.get((test.producer, test.node_id)), None)
        self.measured = record.coverage(self.paths)
        self.whole = True

    def _add(
        self, rank: tuple[datetime, str], one: KeptAttempt | KeptTest, place: Place | None, failure: Failure | None
    ) -> None:
        self.producers[one.producer].attempts.setdefault(one.node_id, {})[one.attempt] = GatheredAttempt(
            rank=rank,
            outcome=one.outcome,
            duration_s=one.seconds,
            file=place.file if place else None,
            line=place.line if place else None,
            cause=one.fingerprint if isinstance(one, KeptAttempt) else "",
            failures=(failure,) if failure else (),
            output=(),
        )

    def heard(self, event: Event[Any]) -> Heard:
        """Return what the event's producer said so far, with this event counted."""
        origin = event.data.producer
        name, context = origin.id if origin else "", (_rank(event), event.data.context)
        heard = self.producers.get(name)
        if heard is None:
            heard = self.producers[name] = Heard(context=context)
        elif context[0] < heard.context[0]:
            heard.context = context
        if origin is not None and origin.sequence is not None:
            heard.received[event.name] += 1
        return heard


def _failures(record: Record, attempts: Iterable[KeptAttempt]) -> dict[tuple[str, str, int], Failure]:
    """Return why each of these attempts failed, by producer, node id and attempt: whole for one test of each cause."""
    frames = {(producer, name, attempt): found for producer, name, attempt, found in record.frames(replaced=True)}
    texts = {(cause.fingerprint, cause.node_id): cause for cause in record.causes()}
    found = {}
    for one in attempts:
        if not one.fingerprint:
            continue
        key, whole = (one.producer, one.node_id, one.attempt), texts.get((one.fingerprint, one.node_id))
        found[key] = Failure(
            type=one.type,
            message=whole.message if whole else one.line,
            text=whole.text if whole else "",
            frames=tuple(frames.get(key, ())),
        )
    return found


def _rank(event: Event[Any]) -> tuple[datetime, str]:
    return event.time, event.id


def _keep_started(kept: Gathered, event: Event[ProducerStarted]) -> None:
    kept.heard(event).started = event.data


def _keep_heartbeat(kept: Gathered, event: Event[ProducerHeartbeat]) -> None:
    kept.heard(event)


def _keep_finished(kept: Gathered, event: Event[ProducerFinished]) -> None:
    kept.heard(event).finished = event.data


def _keep_collected(kept: Gathered, event: Event[TestsCollected]) -> None:
    kept.heard(event).collected.update(event.data.node_ids)


def _keep_results(kept: Gathered, event: Event[ResultsRecorded]) -> None:
    heard, rank = kept.heard(event), _rank(event)
    for result in event.data.results:
        attempts = heard.attempts.setdefault(result.node_id, {})
        known = attempts.get(result.attempt)
        if known is None or rank < known.rank:
            attempts[result.attempt] = GatheredAttempt(
                rank=rank,
                outcome=result.outcome,
                duration_s=result.duration_s,
                file=result.file,
                line=result.line,
                cause=fingerprint(result.failures[0]) if result.outcome.bad and result.failures else "",
                failures=result.failures,
                output=_output(result) if result.outcome.bad else (),
            )


def _output(result: Result) -> tuple[Output, ...]:
    """Return what was captured; log records are the text of the log."""
    logs, steps = list(result.logs), list(result.steps)
    while steps:
        step = steps.pop()
        logs += step.logs
        steps += step.steps
    lines = [
        f"{record.time:%H:%M:%S.%f} {record.level.value.upper():5} {record.logger}: {record.message}"
        for record in sorted(logs, key=lambda record: record.time)
    ]
    return (*result.output, Output(name="log", text="\n".join(lines))) if lines else result.output


def _keep_coverage(kept: Gathered, event: Event[CoverageRecorded]) -> None:
    for file in event.data.files:
        kept.heard(event).coverage.append(file.model_dump() | {"path": kept.paths.apply(file.path) or file.path})


#: Event → what is kept of it.
_KEEPERS: Final[Mapping[type[EventData], Callable[[Gathered, Event[Any]], None]]] = {
    ProducerStarted: _keep_started,
    ProducerHeartbeat: _keep_heartbeat,
    ProducerFinished: _keep_finished,
    TestsCollected: _keep_collected,
    ResultsRecorded: _keep_results,
    CoverageRecorded: _keep_coverage,
    RunCompleted: lambda kept, event: kept.decisions.append(event),
    RunInterrupted: lambda kept, event: kept.decisions.append(event),
    RunReopened: lambda kept, event: kept.reopenings.append(event),
    GateEvaluated: lambda kept, event: kept.verdicts.append(event),
    IssueLinked: lambda kept, event: kept.issues.append(event),
    LaunchLinked: lambda kept, event: kept.launches.append(event),
    RegressionDetected: lambda kept, event: kept.changes.append(event),
    RegressionRecovered: lambda kept, event: kept.changes.append(event),
}
