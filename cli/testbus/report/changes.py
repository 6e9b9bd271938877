"""What consumers found out about a run's failures: issues, and what became better or worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus.report.findings import Change, Issue, Launch
from testbus_consumers.wording.regressions import over, worse
from testbus_schemas import RegressionDetected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_schemas import Event, IssueLinked, LaunchLinked, RegressionRecovered


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
