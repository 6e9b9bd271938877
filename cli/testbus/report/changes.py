"""What consumers found out about a run's failures: issues, and what became better or worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from testbus.report.model import Change, Issue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_schemas import Event, EventData, IssueLinked

#: Fields that say in words what changed, the best first.
_WORDS: Final = ("message", "reason", "summary", "title", "metric", "kind")


def issues_of(events: Iterable[Event[IssueLinked]]) -> tuple[Issue, ...]:
    """Return every issue once for each cause it stands for, as its latest event says, by key."""
    latest: dict[tuple[str, str, str], Event[IssueLinked]] = {}
    for event in sorted(events, key=lambda event: (event.time, event.id)):
        latest[event.data.tracker, event.data.key, event.data.fingerprint] = event
    return tuple(_issue(latest[key].data) for key in sorted(latest))


def changes_of(events: Iterable[Event[EventData]]) -> tuple[Change, ...]:
    """Return what the events `regression.*` say, as far as it can be told in words."""
    found = {_change(event.name.partition(".")[2], event.data.model_dump(mode="json")) for event in events}
    return tuple(sorted(found, key=lambda one: (one.kind, one.node_ids, one.message)))


def _change(kind: str, data: dict[str, Any]) -> Change:
    named = data.get("node_ids") or ([data["node_id"]] if data.get("node_id") else [])
    words = next((str(data[field]) for field in _WORDS if data.get(field)), kind)
    return Change(kind=kind, message=words, node_ids=tuple(str(one) for one in named))


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
