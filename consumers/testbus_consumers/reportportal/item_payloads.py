"""What an item is told of a result: as ReportPortal's own pytest agent tells it, and what that one cannot know."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reportportal_client.core.rp_issues import Issue
from reportportal_client.core.rp_requests import ItemFinishRequest, ItemStartRequest
from reportportal_client.helpers.common_helpers import clean_binary_characters as clean

from testbus_consumers.reportportal.launch_payloads import CUT, Pair, attributes, milliseconds
from testbus_schemas import Outcome, fingerprint

if TYPE_CHECKING:
    from datetime import datetime

    from testbus_schemas import Result, RunContext

#: Status of an item by the outcome of its result. An expected failure is SKIPPED and an unexpected pass is PASSED, as
#: the pytest agent has it.
STATUSES: Final = {
    Outcome.PASSED: "PASSED",
    Outcome.XPASSED: "PASSED",
    Outcome.FAILED: "FAILED",
    Outcome.ERROR: "FAILED",
    Outcome.TIMEOUT: "FAILED",
    Outcome.UNKNOWN: "FAILED",
    Outcome.SKIPPED: "SKIPPED",
    Outcome.XFAILED: "SKIPPED",
    Outcome.NOT_RUN: "SKIPPED",
    Outcome.NOT_REPORTED: "INTERRUPTED",
}

#: Markers that say nothing to people, and those that the pytest agent reads as something else than an attribute.
_IGNORED_MARKERS: Final = frozenset({"parametrize", "usefixtures", "filterwarnings", "issue", "name"})

#: Characters of a test case id that ReportPortal's database takes.
_CASE_CHARS: Final = 1024

#: Says that an item needs no investigation.
_NOT_ISSUE: Final = "NOT_ISSUE"


@dataclass(frozen=True, kw_only=True)
class ItemText:
    """Everything that an item is made of."""

    #: Its uuid.
    uuid: str
    #: uuid of the attempt before it; None for a first attempt.
    retry_of: str | None
    #: Whether that attempt is known to have been: that of the process is, that of the CI may have had other tests.
    retry_sure: bool
    #: Its result.
    result: Result
    #: The run's context.
    context: RunContext
    #: uuid of the launch.
    launch: str
    #: When it started, in milliseconds since the epoch.
    start_ms: int
    #: When it ended, in milliseconds since the epoch.
    end_ms: int

    @property
    def name(self) -> str:
        """Return the item's name."""
        return self.result.node_id


def times(result: Result, recorded: datetime, launch_start_ms: int) -> tuple[int, int]:
    """Return when an item starts and ends, in milliseconds since the epoch: never before its launch.

    `recorded` stands in for a result that does not say when it began: then it ended at that moment.
    """
    duration = int(result.duration_s * 1000)
    start = milliseconds(result.started_at) if result.started_at else milliseconds(recorded) - duration
    start = max(start, launch_start_ms)
    return start, start + duration


def start(item: ItemText, *, retry: bool) -> dict[str, Any]:
    """Return the payload that starts an item; with `retry` it takes the place of the attempt before it."""
    result = item.result
    request = ItemStartRequest(
        name=result.node_id,
        start_time=str(item.start_ms),
        type_="STEP",
        launch_uuid=item.launch,
        attributes=attributes(_pairs(item)),
        code_ref=clean(result.code_ref) if result.code_ref else None,
        description=result.reason,
        has_stats=True,
        parameters={clean(name): clean(value) for name, value in result.parameters.items()} or None,
        retry=retry or None,
        retry_of=item.retry_of if retry else None,
        test_case_id=_test_case_id(result),
        uuid=item.uuid,
        **CUT,
    )
    return dict(request.payload)


def finish(item: ItemText, *, skipped_is_issue: bool) -> dict[str, Any]:
    """Return the payload that finishes an item; ReportPortal makes a failure "To Investigate"."""
    outcome = item.result.outcome
    calm = outcome is Outcome.NOT_RUN or (STATUSES[outcome] == "SKIPPED" and not skipped_is_issue)
    request = ItemFinishRequest(
        end_time=str(item.end_ms),
        launch_uuid=item.launch,
        status=STATUSES[outcome],
        attributes=None,
        description=None,
        is_skipped_an_issue=True,  # the library then adds no issue of its own: it is chosen here
        issue=Issue(_NOT_ISSUE) if calm else None,
        retry=None,
        retry_of=None,
        test_case_id=None,
        **CUT,
    )
    return dict(request.payload)


def _pairs(item: ItemText) -> list[Pair]:
    result, context = item.result, item.context
    pairs: list[Pair] = [
        (marker.name, marker.args[0]) if marker.args else (None, marker.name)
        for marker in result.markers
        if marker.name not in _IGNORED_MARKERS
    ]
    if context.variant != "default":
        pairs.append(("variant", context.variant))
    if context.shard:
        total = f"/{context.shard.total}" if context.shard.total else ""
        pairs.append(("shard", f"{context.shard.index}{total}"))
    if context.attempt > 1:
        pairs.append(("ci_attempt", str(context.attempt)))
    if result.attempt > 1:
        pairs.append(("attempt", str(result.attempt)))
    if result.failures:
        pairs.append(("fingerprint", fingerprint(result.failures[0])))
    return pairs


def _test_case_id(result: Result) -> str | None:
    """Return what the pytest agent calls the test case: a test's history on the pages goes by it."""
    if result.code_ref is None:
        return None
    values = ",".join(sorted(result.parameters.values()))
    case: str = clean(f"{result.code_ref}[{values}]" if result.parameters else result.code_ref)
    if len(case) <= _CASE_CHARS:
        return case
    # Long values are told apart by their digest: cut, two test cases would share one history.
    digest = hashlib.sha256(case.encode(errors="replace")).hexdigest()[:16]
    return f"{case[: _CASE_CHARS - len(digest) - 1]}#{digest}"
