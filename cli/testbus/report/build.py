"""From what was gathered of a run to its report: pure, so that the same events always make the same report."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from testbus.report.coverage import files_of, summarize
from testbus.report.model import Change, Identity, Issue, Judgement, Launch, Life, Producer, RunReport, Variant
from testbus.report.tests import causes_of, pending, tests_of
from testbus_consumers.components import Placing
from testbus_consumers.wording.regressions import over, worse
from testbus_schemas import RegressionDetected, RunInterrupted, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from testbus.report.gather import Gathered, Heard
    from testbus.report.model import Earlier, TestEnd
    from testbus_consumers.records.coverage import FileSums
    from testbus_consumers.settings import ComponentSettings
    from testbus_schemas import (
        Event,
        GateEvaluated,
        IssueLinked,
        LaunchLinked,
        RegressionRecovered,
        RunCompleted,
        RunContext,
    )


def producers_of(producers: Mapping[str, Heard], superseded: frozenset[str]) -> tuple[Producer, ...]:
    """Return every producer, by variant, shard and attempt; those that were replaced are marked."""
    found = [_producer(name, heard, superseded) for name, heard in producers.items()]
    return tuple(sorted(found, key=lambda one: (one.variant, one.shard, one.attempt, one.id)))


def variants_of(active: Mapping[str, Heard], tests: Iterable[TestEnd]) -> tuple[Variant, ...]:
    """Return every variant that somebody tested, by name."""
    by_variant: dict[str, list[Heard]] = defaultdict(list)
    for heard in active.values():
        by_variant[heard.context[1].variant].append(heard)
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    lengths: dict[str, float] = defaultdict(float)
    for test in tests:
        outcomes[test.variant][test.outcome.value] += 1
        lengths[test.variant] += test.duration_s
    return tuple(
        _variant(name, there, dict(sorted(outcomes[name].items())), lengths[name])
        for name, there in sorted(by_variant.items())
    )


def _producer(name: str, heard: Heard, superseded: frozenset[str]) -> Producer:
    context, started, finished = heard.context[1], heard.started, heard.finished
    return Producer(
        id=name,
        tool=f"{started.tool} {started.tool_version}".strip() if started else "",
        host=started.host if started else "",
        variant=context.variant,
        shard=context.shard_index,
        shards=context.shard.total if context.shard else None,
        attempt=context.attempt,
        status=finished.status.value if finished else None,
        exit_status=finished.exit_status if finished else None,
        collected=finished.collected if finished else len(heard.collected) or None,
        reported=finished.reported if finished else sum(len(attempts) for attempts in heard.attempts.values()),
        dropped=finished.dropped if finished else 0,
        build_url=context.build_url,
        superseded=name in superseded,
    )


def _variant(name: str, producers: list[Heard], counts: Mapping[str, int], tests_s: float) -> Variant:
    contexts = [heard.context[1] for heard in producers]
    shared = set(contexts[0].labels.items()).intersection(*(context.labels.items() for context in contexts))
    totals = [context.shard.total for context in contexts if context.shard and context.shard.total]
    return Variant(
        name=name,
        labels=dict(sorted(shared)),
        counts=counts,
        tests_s=tests_s,
        shards=tuple(sorted({context.shard_index for context in contexts if context.shard})),
        shards_total=max(totals, default=None),
    )


def issues_of(events: Iterable[Event[IssueLinked]]) -> tuple[Issue, ...]:
    """Return every issue once for each cause it stands for, as its latest event says, by key."""
    latest: dict[tuple[str, str, str], Event[IssueLinked]] = {}
    for event in sorted(events, key=lambda event: (event.time, event.id)):
        latest[event.data.tracker, event.data.key, event.data.fingerprint] = event
    return tuple(_issue(latest[key].data) for key in sorted(latest))


def launches_of(events: Iterable[Event[LaunchLinked]]) -> tuple[Launch, ...]:
    """Return the run's launch of each target, as its latest event says."""
    ordered = sorted(events, key=lambda event: (event.time, event.id))
    latest = {event.data.target: event.data.url for event in ordered}
    return tuple(Launch(target=target, url=latest[target]) for target in sorted(latest))


def changes_of(events: Iterable[Event[RegressionDetected | RegressionRecovered]]) -> tuple[Change, ...]:
    """Return what became worse, and then what recovered."""
    found = {_change(event.data) for event in events}
    return tuple(sorted(found, key=lambda one: (not one.worse, one.kind, one.message, one.tests)))


def _change(data: RegressionDetected | RegressionRecovered) -> Change:
    return Change(
        worse=isinstance(data, RegressionDetected),
        kind=data.kind.value,
        message=data.message,
        line=worse(data) if isinstance(data, RegressionDetected) else over(data),
        fingerprint=data.fingerprint,
        tests=data.tests,
        total=data.total,
        since=data.since,
        baseline_run=data.baseline_run,
    )


def _issue(data: IssueLinked) -> Issue:
    return Issue(
        fingerprint=data.fingerprint,
        tracker=data.tracker,
        key=data.key,
        url=data.url,
        title=data.title,
        status=data.status,
        action=data.action.value,
    )


#: Slowest tests that are named.
SLOWEST: Final = 20


@dataclass(frozen=True, kw_only=True)
class _Decision:
    """Where the run is in its life, and what counts."""

    life: Life
    revision: int
    missing: tuple[str, ...] = ()
    finished_at: datetime | None = None
    superseded: frozenset[str]
    expected: Mapping[str, Mapping[str, int]]


def build(
    kept: Gathered,
    *,
    before: tuple[FileSums, ...] = (),
    earlier: Earlier | None = None,
    components: Mapping[str, ComponentSettings] | None = None,
) -> RunReport | None:
    """Return the report of a run; None when nothing was heard of it.

    `before` is the coverage of the run `earlier`, which this one is compared with; `components` are the configured
    ones, which coverage is shown by.
    """
    contexts = _contexts(kept)
    if not contexts:
        return None
    decision = _decide(kept)
    active = {name: heard for name, heard in kept.producers.items() if name not in decision.superseded}
    is_open = decision.life is Life.OPEN
    tests = tests_of(active, is_open=is_open)
    issues, changes = issues_of(kept.issues), changes_of(kept.changes)
    return RunReport(
        identity=_identity(contexts),
        life=decision.life,
        revision=decision.revision,
        missing=decision.missing,
        started_at=min(context.started_at for context in contexts),
        clock_claimed=max((one for context in contexts if (one := context.started_at_claimed)), default=None),
        finished_at=decision.finished_at,
        judgement=_judgement(kept, decision),
        counts=dict(sorted(Counter(test.outcome.value for test in tests).items())),
        pending=pending(active) if is_open else 0,
        tests_s=sum(test.duration_s for test in tests),
        causes=causes_of(tests, issues, changes),
        retried=tuple(test for test in tests if test.before is not None and not test.outcome.bad),
        slowest=tuple(
            heapq.nsmallest(
                SLOWEST,
                (test for test in tests if test.duration_s > 0),
                key=lambda test: (-test.duration_s, test.variant, test.node_id),
            )
        ),
        coverage=summarize(
            _coverage_of(kept, decision.superseded),
            before,
            earlier,
            Placing(components or {}, contexts[0].component),
        ),
        variants=variants_of(active, tests),
        producers=producers_of(kept.producers, decision.superseded),
        issues=issues,
        changes=changes,
        launches=launches_of(kept.launches),
        events=kept.events,
        absent=_absent(kept, decision),
    )


def _contexts(kept: Gathered) -> list[RunContext]:
    """Return the context of each producer and derived event, the earliest event's first."""
    ranked = [*kept.derived_contexts, *(heard.context for heard in kept.producers.values())]
    return [context for _, context in sorted(ranked, key=lambda one: one[0])]


def _identity(contexts: list[RunContext]) -> Identity:
    first = contexts[0]
    shared = set(first.labels.items()).intersection(*(context.labels.items() for context in contexts))

    def known(field: str) -> str | None:
        return next((value for context in contexts if (value := getattr(context, field))), None)

    return Identity(
        run=first.run,
        project=first.project,
        suite=first.suite,
        stage=known("stage"),
        repository=known("repository"),
        commit=known("commit"),
        base=known("base"),
        branch=known("branch"),
        pull_request=known("pull_request"),
        labels=dict(sorted(shared)),
        build_url=known("build_url"),
        number=known("run_number"),
    )


def _decide(kept: Gathered) -> _Decision:
    """Return what the latest decision of `runs` says; of a run without one, what can be seen."""
    reopened = max((event.data.revision for event in kept.reopenings), default=0)
    decided = _latest(kept.decisions)
    replaced = _replaced(kept)
    judged = _latest_verdict(kept)
    if decided is None and judged is not None and judged.data.revision > reopened:
        # The decision is not at hand any more, the verdict on it is.
        incomplete = judged.data.verdict is Verdict.INCOMPLETE
        life = Life.INTERRUPTED if incomplete else Life.COMPLETED
        return _Decision(life=life, revision=judged.data.revision, superseded=replaced, expected={})
    if decided is None or decided.data.revision <= reopened:
        before = frozenset(decided.data.superseded) if decided else frozenset()
        return _Decision(life=Life.OPEN, revision=reopened, superseded=before | replaced, expected={})
    data = decided.data
    interrupted = isinstance(data, RunInterrupted)
    return _Decision(
        life=Life.INTERRUPTED if interrupted else Life.COMPLETED,
        revision=data.revision,
        missing=data.reasons if isinstance(data, RunInterrupted) else (),
        finished_at=data.finished_at,
        superseded=frozenset(data.superseded),
        expected=data.expected,
    )


def _latest(
    decisions: Iterable[Event[RunCompleted | RunInterrupted]],
) -> Event[RunCompleted | RunInterrupted] | None:
    return max(decisions, key=lambda event: (event.data.revision, event.time, event.id), default=None)


def _latest_verdict(kept: Gathered) -> Event[GateEvaluated] | None:
    """Return the latest verdict; of two on the same decision the later holds."""
    return max(kept.verdicts, key=lambda event: (event.data.revision, event.time, event.id), default=None)


def _replaced(kept: Gathered) -> frozenset[str]:
    """Return the producers of which a higher CI attempt at the same shard was heard."""
    highest: dict[tuple[str, int], int] = {}
    places = {
        name: ((heard.context[1].variant, heard.context[1].shard_index), heard.context[1].attempt)
        for name, heard in kept.producers.items()
    }
    for place, attempt in places.values():
        highest[place] = max(attempt, highest.get(place, 0))
    return frozenset(name for name, (place, attempt) in places.items() if attempt < highest[place])


def _judgement(kept: Gathered, decision: _Decision) -> Judgement | None:
    latest = _latest_verdict(kept)
    if latest is None:
        return None
    data = latest.data
    return Judgement(
        verdict=data.verdict.value,
        reasons=data.reasons,
        rules=data.rules,
        revision=data.revision,
        policy=data.policy,
        decided_at=latest.time,
        current=decision.life is not Life.OPEN and data.revision >= decision.revision,
        cancelled=data.cancelled,
    )


def _coverage_of(kept: Gathered, superseded: frozenset[str]) -> tuple[FileSums, ...]:
    if kept.measured is not None:
        return kept.measured
    return files_of(row for name, heard in kept.producers.items() if name not in superseded for row in heard.coverage)


def _absent(kept: Gathered, decision: _Decision) -> int:
    """Return how many of the events that the decision counted are not here."""
    if kept.whole:
        return 0
    none: Counter[str] = Counter()
    return sum(
        max(0, count - (kept.producers[name].received if name in kept.producers else none)[kind])
        for name, types in decision.expected.items()
        for kind, count in types.items()
    )
