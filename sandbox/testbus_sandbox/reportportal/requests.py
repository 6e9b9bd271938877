"""The requests of ReportPortal's reporting API: read from JSON once, validated, immutable."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.reportportal.fields import BLANK, NULL, SIZE, Body, unreadable
from testbus_sandbox.reportportal.models import Attribute, ExternalIssue, Issue
from testbus_sandbox.reportportal.refusals import INCORRECT_REQUEST, refuse

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

#: A log level as the request model wants it.
_LEVEL: Final = re.compile(r"[A-Za-z0-9 ]{3,16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLaunch:
    """POST /launch."""

    name: str
    start_time: datetime
    description: str | None
    attributes: tuple[Attribute, ...] | None
    mode: str | None
    rerun: bool
    rerun_of: str | None
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

    end_time: datetime
    status: str | None
    description: str | None
    attributes: tuple[Attribute, ...] | None
    launch_uuid: str | None = None
    issue: Issue | None = None
    retry: bool = False
    retry_of: str | None = None
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

    name: str
    start_time: datetime
    type: str
    launch_uuid: str
    description: str | None
    attributes: tuple[Attribute, ...]
    parameters: tuple[tuple[str, str], ...]
    code_ref: str | None
    test_case_id: str | None
    unique_id: str | None
    has_stats: bool
    retry: bool
    retry_of: str | None
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
class SaveLog:
    """One entry of json_request_part."""

    launch_uuid: str | None
    item_uuid: str | None
    time: datetime
    level: str | None
    message: str | None
    uuid: str | None
    file: str | None
    #: What validation does not like; None when the entry is valid.
    invalid: str | None

    @classmethod
    def read(cls, data: Any) -> SaveLog:
        """Read the JSON; an entry that is not valid is refused on its own, only unreadable JSON refuses the batch."""
        body = Body(data)
        level = body.text("level")
        invalid = []
        if body.raw("time") is None:
            invalid.append("[Incorrect value in save log request 'null' in field 'logTime'.]")
        if level is not None and not _LEVEL.fullmatch(level):
            invalid.append(f"[Incorrect value in save log request '{level}' in field 'level'.]")
        file = body.raw("file")
        return cls(
            launch_uuid=body.text("launchUuid"),
            item_uuid=body.text("itemUuid", "item_id"),
            time=body.time("time"),
            level=level,
            message=body.text("message"),
            uuid=body.text("uuid"),
            file=Body(file).text("name") if file is not None else None,
            invalid="".join(invalid) or None,
        )

    def check(self) -> None:
        """Raise ReportPortalError 4001 when the entry is not valid."""
        if self.invalid:
            raise refuse(INCORRECT_REQUEST, self.invalid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """PUT /launch/{id}/update and PUT /item/{id}/update."""

    description: str | None
    attributes: tuple[Attribute, ...] | None
    mode: str | None
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
    if comment is not None and len(comment) > COMMENT:
        body.violated(SIZE, "issue.comment", 0, COMMENT)
    tickets = []
    for ticket in issue.objects("externalSystemIssues") or ():
        names = ("ticketId", "btsUrl", "btsProject", "url")
        key, bts_url, bts_project, url = (ticket.text(name) or "" for name in names)
        for name, value in zip(names, (key, bts_url, bts_project, url), strict=True):
            if not value.strip():
                body.violated(BLANK, f"issue.externalSystemIssues[].{name}")
        tickets.append(ExternalIssue(ticket_id=key, bts_url=bts_url, bts_project=bts_project, url=url))
    return Issue(
        issue_type=locator or "",
        comment=comment,
        auto_analyzed=issue.flag("autoAnalyzed"),
        ignore_analyzer=issue.flag("ignoreAnalyzer"),
        external=tuple(dict.fromkeys(tickets)),
    )


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
