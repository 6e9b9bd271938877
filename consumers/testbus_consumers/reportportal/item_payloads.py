"""What an item says of a result: as ReportPortal's own pytest agent says it, and what that one cannot know.

Steps of a test are nested items below its own, which count in no statistics.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reportportal_client.core.rp_issues import Issue
from reportportal_client.core.rp_requests import ItemFinishRequest, ItemStartRequest

from testbus_consumers.reportportal import defects, text
from testbus_consumers.reportportal.launch_payloads import CUT, Pair, attributes, milliseconds
from testbus_consumers.reportportal.state import FLAKY_ATTRIBUTE
from testbus_consumers.reportportal.text import DESCRIPTION, ITEM_NAME, fit, storable, without_scripts
from testbus_schemas import Outcome, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from testbus_consumers.reportportal.defects import Defects
    from testbus_consumers.reportportal.tree import Identities, TreePlace
    from testbus_schemas import LogRecord, Result, ResultKey, RunContext, Step
    from testbus_schemas.results import Marker

#: Names of those markers, and of pytest's own that say nothing to people.
IGNORED: Final = frozenset({"parametrize", "usefixtures", "filterwarnings", "issue", "name"})

#: Type of a defect that an issue's marker does not name.
_UNNAMED: Final = "TI"


def marked_name(result: Result) -> str | None:
    """Return what `@pytest.mark.name("…")` calls a test."""
    for marker in _named(result, "name"):
        return marker.keywords.get("name") or next(iter(marker.args), None)
    return None


def test_case(result: Result) -> str | None:
    """Return the test case of a result: its code, or what `@pytest.mark.tc_id("…")` says, and its parameters.

    With a marker, parameters count only where it says `parameterized=True`, and of those only its `params`; with
    `use_index=True` not their values do, but their names and numbers.
    """
    base, values = result.code_ref, list(result.parameters.values())
    for marker in _named(result, "tc_id"):
        base = next(iter(marker.args), "")
        values = _counting(result, marker) if marker.keywords.get("parameterized") == "True" else []
        break
    if base is None:
        return None
    return f"{base}[{','.join(sorted(values))}]" if values else base


def _counting(result: Result, marker: Marker) -> list[str]:
    """Return the parameters by which a marker tells test cases apart: their values, or their names and numbers."""
    wanted = list(filter(None, marker.keywords.get("params", "").split("\n")))
    if marker.keywords.get("use_index") != "True":
        return [result.parameters.get(one, "None") for one in wanted or result.parameters]
    return [str((one, result.parameter_indices.get(one))) for one in wanted or result.parameter_indices]


def issue_pairs(result: Result) -> list[tuple[str, str]]:
    """Return the attributes of issues that markers name."""
    return [("issue", one) for marker in _named(result, "issue") for one in _ids(marker)]


def marked_issue(result: Result, locator: Callable[[str], str | None]) -> Issue | None:
    """Return the defect that `@pytest.mark.issue(issue_id=…, reason=…, issue_type=…, url=…)` gives a test.

    `locator` returns that of a type's name, None for one that the project does not have: then there is no defect.
    """
    for marker in _named(result, "issue"):
        found = locator(marker.keywords.get("issue_type") or _UNNAMED)
        why = marker.keywords.get("reason") or marker.name
        linked = " ".join(_link(one, marker.keywords.get("url", "")) for one in _ids(marker))
        return Issue(found, text.fit(f"* {why}: {linked}" if linked else why, text.COMMENT)) if found else None
    return None


def _named(result: Result, wanted: str) -> Iterator[Marker]:
    return (marker for marker in result.markers if marker.name == wanted)


def _ids(marker: Marker) -> list[str]:
    return [one for one in marker.keywords.get("issue_id", "").split("\n") if one and one != "None"]


def _link(issue_id: str, url: str) -> str:
    return (
        f"[{issue_id}]({url.replace('{issue_id}', issue_id)})" if url.startswith(("http://", "https://")) else issue_id
    )


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

#: Statuses of items that have a defect.
_WITH_DEFECT: Final = frozenset({"FAILED", "SKIPPED"})

#: Characters of a test case id that ReportPortal's database takes.
_CASE_CHARS: Final = 1024


@dataclass(frozen=True, kw_only=True)
class StepText:
    """Everything that a step's item is made of."""

    uuid: str
    #: uuid of the test or step that it is in.
    parent: str
    #: uuid of the launch.
    launch: str
    name: str
    #: When it started, in milliseconds since the epoch: not before what it is in.
    start_ms: int
    #: When it ended.
    end_ms: int
    status: str
    #: What was logged in it.
    logs: tuple[LogRecord, ...]


@dataclass(frozen=True, kw_only=True)
class Above:
    """What steps are in."""

    #: uuid of its item.
    uuid: str
    #: uuid of the launch.
    launch: str
    #: When it started, in milliseconds since the epoch.
    start_ms: int


@dataclass(frozen=True, kw_only=True)
class ItemText:
    """Everything that an item is made of."""

    uuid: str
    #: Where it stands.
    place: TreePlace
    #: uuid of the attempt before it; None for a first attempt.
    retry_of: str | None
    #: Whether that attempt is known to have been: that of the process is, that of the CI may have had other tests.
    retry_sure: bool
    result: Result
    #: The run's context.
    context: RunContext
    #: uuid of the launch.
    launch: str
    #: When it started, in milliseconds since the epoch.
    start_ms: int
    #: When it ended, in milliseconds since the epoch.
    end_ms: int
    #: Whether its test is known to be flaky.
    flaky: bool
    #: Its steps, each before its own ones.
    steps: tuple[StepText, ...] = ()

    @property
    def name(self) -> str:
        """Return the test's whole name, for people."""
        return self.result.node_id

    @property
    def home(self) -> str | None:
        """Return the uuid of the suite that it belongs to; None when it belongs to none."""
        return self.place.suites[-1].uuid if self.place.suites else None


def times(result: Result, recorded: datetime, launch_start_ms: int) -> tuple[int, int]:
    """Return when an item starts and ends, in milliseconds since the epoch: never before its launch.

    `recorded` stands in for a result that does not say when it began: then it ended at that moment.
    """
    duration = int(result.duration_s * 1000)
    start = milliseconds(result.started_at) if result.started_at else milliseconds(recorded) - duration
    start = max(start, launch_start_ms)
    return start, start + duration


def steps_of(steps: tuple[Step, ...], above: Above, ids: Identities, key: ResultKey) -> tuple[StepText, ...]:
    """Return the steps of a result, each before its own ones."""
    flat = list(_flattened(steps, None))
    made: list[StepText] = []
    for number, (step, parent) in enumerate(flat):
        over = above if parent is None else made[parent]
        began = milliseconds(step.started_at) if step.started_at else over.start_ms
        start_ms = max(began, over.start_ms)
        made.append(
            StepText(
                uuid=ids.step(key, number),
                parent=over.uuid,
                launch=above.launch,
                name=fit(step.name, ITEM_NAME) if step.name.strip() else "step",
                start_ms=start_ms,
                end_ms=start_ms + int(step.duration_s * 1000),
                status=STATUSES[step.outcome],
                logs=step.logs,
            )
        )
    return tuple(made)


def _flattened(steps: tuple[Step, ...], parent: int | None) -> Iterator[tuple[Step, int | None]]:
    """Yield each step with the number of the one that it is in, None for the test."""
    numbered = 0 if parent is None else parent + 1
    for step in steps:
        number = numbered
        yield step, parent
        numbered += 1
        for below, above in _flattened(step.steps, number):
            yield below, above
            numbered += 1


def start(item: ItemText, *, retry_of: str | None = None) -> dict[str, Any]:
    """Return the payload that starts an item, in the place of another one (uuid) if there is one."""
    result = item.result
    request = ItemStartRequest(
        name=fit(marked_name(result) or item.place.name, ITEM_NAME),
        start_time=str(item.start_ms),
        type_="STEP",
        launch_uuid=item.launch,
        attributes=attributes(_pairs(item)),
        code_ref=storable(result.code_ref) if result.code_ref else None,
        description=fit(without_scripts(_description(result)), DESCRIPTION) or None,
        has_stats=True,
        # A list: of a mapping the library takes the key "system" out, as a word of its own.
        parameters=[
            {"key": storable(name), "value": storable(value)} for name, value in sorted(result.parameters.items())
        ]
        or None,
        retry=True if retry_of else None,
        retry_of=retry_of,
        test_case_id=_test_case_id(result),
        uuid=item.uuid,
        **CUT,
    )
    return dict(request.payload)


def finish(item: ItemText, issue: Issue | None) -> dict[str, Any]:
    """Return the payload that finishes an item; ReportPortal makes a failure without an issue "To Investigate"."""
    request = ItemFinishRequest(
        end_time=str(item.end_ms),
        launch_uuid=item.launch,
        status=STATUSES[item.result.outcome],
        attributes=None,
        description=None,
        is_skipped_an_issue=True,  # the library then adds no issue of its own: it is chosen here
        issue=issue,
        retry=None,
        retry_of=None,
        test_case_id=None,
        **CUT,
    )
    return dict(request.payload)


def start_step(step: StepText) -> dict[str, Any]:
    """Return the payload that starts a step: an item that counts in no statistics."""
    request = ItemStartRequest(
        name=step.name,
        start_time=str(step.start_ms),
        type_="STEP",
        launch_uuid=step.launch,
        attributes=None,
        code_ref=None,
        description=None,
        has_stats=False,
        parameters=None,
        retry=None,
        retry_of=None,
        test_case_id=None,
        uuid=step.uuid,
        **CUT,
    )
    return dict(request.payload)


def finish_step(step: StepText) -> dict[str, Any]:
    """Return the payload that finishes a step."""
    request = ItemFinishRequest(
        end_time=str(step.end_ms),
        launch_uuid=step.launch,
        status=step.status,
        attributes=None,
        description=None,
        is_skipped_an_issue=True,  # it has no defect: its test has
        issue=None,
        retry=None,
        retry_of=None,
        test_case_id=None,
        **CUT,
    )
    return dict(request.payload)


def issue_of(item: ItemText, rules: Defects, *, skipped_is_issue: bool) -> Issue | None:
    """Return the defect of an item by the first rule about it, else by its marker; None leaves it to ReportPortal."""
    outcome = item.result.outcome
    if STATUSES[outcome] not in _WITH_DEFECT:
        return None
    if issue := rules.issue_of(item.result):
        return issue
    calm = outcome is Outcome.NOT_RUN or (STATUSES[outcome] == "SKIPPED" and not skipped_is_issue)
    return Issue(defects.NOT_ISSUE) if calm else marked_issue(item.result, rules.short)


def _description(result: Result) -> str:
    """Return why a test was skipped or expected to fail, and what its author says of it."""
    return "\n\n".join(filter(None, (result.reason, result.description)))


def _pairs(item: ItemText) -> list[Pair]:
    result, context = item.result, item.context
    pairs: list[Pair] = [
        (marker.name, marker.args[0]) if marker.args else (None, marker.name)
        for marker in result.markers
        if marker.name not in IGNORED
    ]
    pairs += issue_pairs(result)
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
    if item.flaky:
        pairs.append(FLAKY_ATTRIBUTE)
    return pairs


def _test_case_id(result: Result) -> str | None:
    """Return what the pytest agent calls the test case: a test's history on the pages goes by it."""
    named = test_case(result)
    if named is None:
        return None
    case = storable(named)
    if len(case) <= _CASE_CHARS:
        return case
    # Long values are distinguished by their digest: cut, two test cases would share one history.
    digest = hashlib.sha256(case.encode(errors="replace")).hexdigest()[:16]
    return f"{case[: _CASE_CHARS - len(digest) - 1]}#{digest}"
