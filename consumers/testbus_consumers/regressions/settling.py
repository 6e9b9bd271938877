"""From what is found to what is reported: only the difference to what is open already."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.components import TOTAL
from testbus_consumers.records.coverage import percent
from testbus_consumers.regressions.alerts import Regression, digest
from testbus_consumers.wording.numbers import plural
from testbus_schemas import RegressionKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from testbus_consumers.regressions.alerts import Alert, Alerts
    from testbus_consumers.regressions.flaky import Evidence
    from testbus_consumers.regressions.history import Case, History, Run
    from testbus_consumers.regressions.settings import RegressionsSettings
    from testbus_consumers.regressions.streaks import Broken


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A fall of a component's coverage that has not been made good."""

    #: The run in which it fell.
    since: Run
    #: The run before that one.
    baseline: Run
    #: Percent covered, then.
    value: float
    #: Percent covered, before.
    baseline_value: float


def comparable(line: Sequence[Run]) -> list[Run]:
    """Return the runs of a branch that measured the same variants and shards as its latest one that measured."""
    measured = [run for run in line if run.measured is not None]
    return [run for run in measured if run.measured == measured[-1].measured]


def open_drops(line: Sequence[Run], component: str, min_drop: float) -> list[Drop]:
    """Return the falls by at least `min_drop` points from one run to the next that hold at the end, in their order.

    One is made good when half of the least drop is all that is missing to the value before it.
    """
    drops: list[Drop] = []
    before: tuple[Run, float] | None = None
    for run in comparable(line):
        if component not in run.covered:
            continue
        value = percent(run.covered[component])
        drops = [drop for drop in drops if value <= drop.baseline_value - min_drop / 2]
        if before is not None and fell(before[1], value, min_drop):
            drops.append(Drop(since=run, baseline=before[0], value=value, baseline_value=before[1]))
        before = run, value
    return drops


def fell(before: float, value: float, min_drop: float) -> bool:
    """Tell whether a percentage fell by at least so many points; a hair's breadth is arithmetic's."""
    return before - value >= min_drop - 1e-9


#: The cause of what fails at once for more causes than are reported one by one.
_MANY: Final = "many"


def settle_failures(alerts: Alerts, head: Run, broken: Mapping[Case, Broken], max_causes: int) -> None:
    """Tell which tests of a branch fail newly, those of one cause together, and which causes are over.

    A test belongs to the alert that told of it until it passes, whatever it fails with in the meantime; one more that
    fails by an open cause joins that.
    """
    open_alerts = alerts.open(head.branch, RegressionKind.TEST_FAILED)
    still = {alert: {case for case in alert.cases if case in broken} for alert in open_alerts}
    reported = {case for cases in still.values() for case in cases}
    fresh: dict[str, set[Case]] = defaultdict(set)
    for case, one in broken.items():
        if one.baseline is not None and case not in reported:
            fresh[_cause(case, one)].add(case)
    for alert in open_alerts:
        still[alert] |= fresh.pop(alert.cause, set())
    if len(fresh) > max_causes:
        fresh = {_MANY: {case for cases in fresh.values() for case in cases}}
    for cause, cases in sorted(fresh.items()):
        alerts.detect(_failed(head, cause, {case: broken[case] for case in cases}))
    for alert, cases in still.items():
        if cases:
            alerts.keep(alert, cases)
        else:
            alerts.recover(alert, head, value=0)


def settle_base_coverage(alerts: Alerts, line: Sequence[Run], settings: RegressionsSettings) -> None:
    """Tell which components of a base branch fell, and which are made good."""
    drops = {name: open_drops(line, name, settings.min_drop) for name in _components(line[-1], settings)}
    _settle_coverage(alerts, line[-1], drops)


def settle_branch_coverage(alerts: Alerts, head: Run, baseline: Run, settings: RegressionsSettings) -> None:
    """Tell which components are worse in a branch's latest complete run than in the base's."""
    drops: dict[str, list[Drop]] = {}
    for name in _components(head, settings):
        if head.measured == baseline.measured and name in head.covered and name in baseline.covered:
            before, value = percent(baseline.covered[name]), percent(head.covered[name])
            drop = Drop(since=head, baseline=baseline, value=value, baseline_value=before)
            drops[name] = [drop] if fell(before, value, settings.min_drop) else []
    _settle_coverage(alerts, head, drops)


def _components(head: Run, settings: RegressionsSettings) -> tuple[str, ...]:
    """Return what coverage is compared of: each component, without any everything, and what the run itself names."""
    whole = head.context.get("component")
    return tuple(dict.fromkeys((*(settings.components or (TOTAL,)), *((whole,) if whole else ()))))


def settle_flaky(alerts: Alerts, history: History, run: Run, flaky: Mapping[Case, Evidence]) -> None:
    """Tell which tests became flaky, and which have shown nothing of it for as long as the history reaches."""
    runs = {one.id: one for one in history.runs}
    reported: set[Case] = set()
    for alert in alerts.open("", RegressionKind.TEST_FLAKY):
        reported |= alert.cases
        if not alert.cases & flaky.keys():
            alerts.recover(alert, run)
    for case in sorted(flaky.keys() - reported):
        alerts.detect(
            Regression(
                kind=RegressionKind.TEST_FLAKY,
                branch="",
                cause=f"flaky:{digest(*case)}",
                subject=case.node_id,
                since=runs[flaky[case].run],
                baseline=None,
                values={},
                cases=frozenset({case}),
                example=flaky[case].failure_text,
            )
        )


def _cause(case: Case, broken: Broken) -> str:
    if broken.ended.fingerprint:
        return f"tests:{broken.ended.fingerprint}"
    return f"test:{digest(*case)}"


def _failed(head: Run, cause: str, broken: Mapping[Case, Broken]) -> Regression:
    cases = frozenset(broken)
    first = min(broken.values(), key=lambda one: one.since.order)
    baseline = first.baseline
    fingerprints = {one.ended.fingerprint for one in broken.values()}
    fingerprint = fingerprints.pop() if len(fingerprints) == 1 else ""
    return Regression(
        kind=RegressionKind.TEST_FAILED,
        branch=head.branch,
        cause=cause,
        subject=fingerprint or (next(iter(cases)).node_id if len(cases) == 1 else plural(len(cases), "test")),
        since=first.since,
        baseline=baseline,
        values={"value": len(cases), "baseline_value": 0, "unit": "tests", "fingerprint": fingerprint},
        cases=cases,
        was_green=all(one.was_green for one in broken.values()),
        example=first.ended.failure_text,
    )


def _settle_coverage(alerts: Alerts, head: Run, drops: Mapping[str, Sequence[Drop]]) -> None:
    by_component: dict[str, list[Alert]] = defaultdict(list)
    for alert in alerts.open(head.branch, RegressionKind.COVERAGE_DROPPED):
        by_component[alert.event_data["subject"]].append(alert)
    for name, found in drops.items():
        fresh, over = _unmatched(found, by_component[name])
        for drop in fresh:
            alerts.detect(_dropped(head, name, drop))
        for alert in over:
            value = percent(head.covered[name]) if name in head.covered else None
            alerts.recover(alert, head, value=value)


def _unmatched(drops: Sequence[Drop], reported: Iterable[Alert]) -> tuple[list[Drop], list[Alert]]:
    """Return the drops that were not told, and the alerts without a drop.

    A late run can move the beginning of a drop that was reported: so many as were reported are taken for the same.
    """
    there = {alert.since for alert in reported}
    here = {drop.since.id for drop in drops}
    fresh = [drop for drop in drops if drop.since.id not in there]
    over = [alert for alert in reported if alert.since not in here]
    moved = min(len(fresh), len(over))
    return fresh[moved:], over[moved:]


def _dropped(head: Run, name: str, drop: Drop) -> Regression:
    values: dict[str, Any] = {"value": drop.value, "baseline_value": drop.baseline_value, "unit": "%"}
    return Regression(
        kind=RegressionKind.COVERAGE_DROPPED,
        branch=head.branch,
        cause=f"coverage:{name}",
        subject=name,
        since=drop.since,
        baseline=drop.baseline,
        values=values,
    )
