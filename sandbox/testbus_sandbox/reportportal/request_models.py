"""The requests of ReportPortal's reporting API: read from JSON once, validated, immutable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.reportportal.fields import BLANK, NULL, SIZE, Body, length, unreadable
from testbus_sandbox.reportportal.models import Attribute, ExternalIssue, Issue

if TYPE_CHECKING:
    from datetime import datetime

#: Longest name of a launch, in characters.
LAUNCH_NAME: Final = 256

#: Longest name and longest uniqueId of an item, in characters.
ITEM_NAME: Final = 1024

#: Longest comment of an issue, in characters.
COMMENT: Final = 65_536

#: What a launch or an item may be finished with.
FINISH_STATUSES: Final = frozenset(
    {"PASSED", "FAILED", "STOPPED", "SKIPPED", "INTERRUPTED", "CANCELLED", "INFO", "WARN"}
)

#: What a test item may be.
ITEM_TYPES: Final = frozenset(
    {"SUITE", "STORY", "TEST", "SCENARIO", "STEP"}
    | {f"{when}_{what}" for when in ("BEFORE", "AFTER") for what in ("CLASS", "GROUPS", "METHOD", "SUITE", "TEST")}
)

#: Modes of a launch: an enum, so the case of the letters matters.
MODES: Final = ("DEFAULT", "DEBUG")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLaunch:
    """POST /launch."""

    #: Trimmed, not blank.
    name: str
    #: UTC.
    start_time: datetime
    #: Uncut; None leaves what there is.
    description: str | None
    #: Without duplicates; None leaves what there is.
    attributes: tuple[Attribute, ...] | None
    #: DEFAULT or DEBUG.
    mode: str | None
    #: True to continue an old launch.
    rerun: bool
    #: uuid of that launch; None means the latest of the name.
    rerun_of: str | None
    #: Chosen by the client; None lets the server choose.
    uuid: str | None

    @classmethod
    def read(cls, data: Any) -> StartLaunch:
        """Read the JSON; raise ReportPortalError 4001 for what is not valid."""
        body = Body(data)
        request = cls(
            name=body.name(LAUNCH_NAME),
            start_time=body.time("startTime", "start_time"),
            description=body.text("description"),
            attributes=body.attributes(),
            mode=_mode(body),
            rerun=body.flag("rerun"),
            rerun_of=body.text("rerunOf"),
            uuid=body.text("uuid"),
        )
        body.check()
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """PUT /launch/{uuid}/finish, PUT /launch/{id}/stop, PUT /item/{uuid}; the last fields are an item's."""

    #: UTC.
    end_time: datetime
    #: Upper case; None lets the server compute it, or leaves it.
    status: str | None
    #: Uncut; None leaves what there is.
    description: str | None
    #: Without duplicates; None leaves what there is.
    attributes: tuple[Attribute, ...] | None
    #: uuid of the launch: v2 routes by it.
    launch_uuid: str | None = None
    #: Defect; its type may be NOT_ISSUE.
    issue: Issue | None = None
    #: True when the item repeats one with the same unique id.
    retry: bool = False
    #: uuid of the item that it repeats.
    retry_of: str | None = None
    #: Replaces the item's when given.
    test_case_id: str | None = None

    @classmethod
    def read(cls, data: Any) -> Finish:
        """Read the JSON; raise ReportPortalError 4001 for what is not valid."""
        body = Body(data)
        request = cls(
            end_time=body.time("endTime", "end_time"),
            status=body.choice("status", FINISH_STATUSES),
            description=body.text("description"),
            attributes=body.attributes(),
            launch_uuid=body.text("launchUuid"),
            issue=read_issue(body),
            retry=body.flag("retry"),
            retry_of=body.text("retryOf"),
            test_case_id=body.text("testCaseId"),
        )
        body.check()
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class StartItem:
    """POST /item and POST /item/{parent}."""

    #: Trimmed, not blank.
    name: str
    #: UTC.
    start_time: datetime
    #: One of ITEM_TYPES.
    type: str
    launch_uuid: str
    #: Uncut; None leaves what there is.
    description: str | None
    #: Without duplicates.
    attributes: tuple[Attribute, ...]
    #: (key, value) pairs without duplicates.
    parameters: tuple[tuple[str, str], ...]
    #: For example `pkg/test_a.py:TestA.test_p`.
    code_ref: str | None
    #: None makes it from the codeRef.
    test_case_id: str | None
    #: None makes it from the names on the path.
    unique_id: str | None
    #: False for a nested step.
    has_stats: bool
    #: True when it repeats an item with the same unique id.
    retry: bool
    #: uuid of the item that it repeats.
    retry_of: str | None
    #: Chosen by the client; None lets the server choose.
    uuid: str | None

    @classmethod
    def read(cls, data: Any) -> StartItem:
        """Read the JSON; raise ReportPortalError 4001 for what is not valid."""
        body = Body(data)
        request = cls(
            name=body.name(ITEM_NAME),
            start_time=body.time("startTime", "start_time"),
            type=body.choice("type", ITEM_TYPES, required=True) or "",
            launch_uuid=body.text("launchUuid", "launch_id", required=True) or "",
            description=body.text("description"),
            attributes=body.attributes() or (),
            parameters=_parameters(body),
            code_ref=body.text("codeRef"),
            test_case_id=body.text("testCaseId"),
            unique_id=body.text("uniqueId", longest=ITEM_NAME),
            has_stats=body.flag("hasStats", default=True),
            retry=body.flag("retry"),
            retry_of=body.text("retryOf") or None,
            uuid=body.text("uuid"),
        )
        body.check()
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """PUT /launch/{id}/update and PUT /item/{id}/update."""

    #: Uncut; None leaves what there is.
    description: str | None
    #: Without duplicates; None leaves what there is.
    attributes: tuple[Attribute, ...] | None
    #: DEFAULT or DEBUG.
    mode: str | None
    #: Upper case; None lets the server compute it, or leaves it.
    status: str | None

    @classmethod
    def read(cls, data: Any) -> Update:
        """Read the JSON; raise ReportPortalError 4001 for what is not valid."""
        body = Body(data)
        request = cls(
            description=body.text("description"),
            attributes=body.attributes(),
            mode=_mode(body),
            status=(body.text("status") or "").upper() or None,
        )
        body.check()
        return request


def read_issue(body: Body) -> Issue | None:
    """Read the field `issue`, as finishing and triage send it."""
    data = body.raw("issue")
    if data is None:
        return None
    issue = Body(data, "issue.")
    locator = issue.text("issueType", "issue_type")
    if locator is None or not locator.strip():
        body.violated(BLANK, "issue.issueType")
    comment = issue.text("comment")
    if comment is not None and length(comment) > COMMENT:
        body.violated(SIZE, "issue.comment", 0, COMMENT)
    tickets = read_tickets(issue, "externalSystemIssues", body)
    return Issue(
        issue_type=locator or "",
        comment=comment,
        auto_analyzed=issue.flag("autoAnalyzed"),
        ignore_analyzer=issue.flag("ignoreAnalyzer"),
        external=tickets,
    )


def read_tickets(body: Body, field: str, whole: Body | None = None) -> tuple[ExternalIssue, ...]:
    """Read a list of tickets without duplicates; `whole` gets the faults if `body` is a part of it."""
    tickets = []
    for ticket in body.objects(field) or ():
        names = ("ticketId", "btsUrl", "btsProject", "url")
        key, bts_url, bts_project, url = (ticket.text(name) or "" for name in names)
        for name, value in zip(names, (key, bts_url, bts_project, url), strict=True):
            if not value.strip():
                (whole or body).violated(BLANK, f"{'issue.' if whole else ''}{field}[].{name}")
        tickets.append(ExternalIssue(ticket_id=key, bts_url=bts_url, bts_project=bts_project, url=url))
    return tuple(dict.fromkeys(tickets))


def _mode(body: Body) -> str | None:
    """Read the field `mode`."""
    mode = body.text("mode")
    if mode is not None and mode not in MODES:
        raise unreadable(
            f'Cannot deserialize value of type `Mode` from String "{mode}": '
            "not one of the values accepted for Enum class: [DEFAULT, DEBUG]"
        )
    return mode


def _parameters(body: Body) -> tuple[tuple[str, str], ...]:
    """Read the field `parameters`; a value that is null becomes `NULL`, as the server stores it."""
    pairs: dict[tuple[str, str], None] = {}
    for parameter in body.objects("parameters") or ():
        key = parameter.text("key")
        if key is None:
            parameter.violated(NULL, "key")
        value = parameter.text("value")
        pairs[key or "", "NULL" if value is None else value] = None
    return tuple(pairs)
