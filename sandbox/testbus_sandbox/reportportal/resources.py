"""Rows as the JSON that ReportPortal answers: fields that are null are left out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from testbus_sandbox.reportportal import defects, times
from testbus_sandbox.reportportal.records import IN_PROGRESS, POSITIVE
from testbus_sandbox.reportportal.store import PROJECT_ID, case_identity, java_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from typing import TypeAlias

    from testbus_sandbox.reportportal.models import Attribute, Issue
    from testbus_sandbox.reportportal.records import ItemRecord, LaunchRecord, LogRecord
    from testbus_sandbox.reportportal.store import Store

    Clock: TypeAlias = Callable[[datetime], int | str]


def present(resource: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is null."""
    return {key: value for key, value in resource.items() if value is not None}


def launch(record: LaunchRecord, clock: Clock = times.epoch_ms) -> dict[str, Any]:
    """Return a launch; `clock` writes instants (milliseconds, or ISO for the second media type)."""
    return present(
        {
            "owner": "sandbox",
            "id": record.id,
            "uuid": record.uuid,
            "name": record.name,
            "number": record.number,
            "description": record.description,
            "startTime": clock(record.start_time),
            "endTime": clock(record.end_time) if record.end_time else None,
            "lastModified": clock(record.last_modified),
            "status": record.status,
            "statistics": statistics(record.items),
            "attributes": attributes(record.attributes),
            "mode": record.mode,
            "analysing": [],
            "approximateDuration": 0.0,
            "hasRetries": record.has_retries,
            "rerun": record.rerun,
        }
    )


def item(record: ItemRecord, clock: Clock = times.epoch_ms) -> dict[str, Any]:
    """Return an item; `clock` writes instants (milliseconds, or ISO for the second media type)."""
    case = case_identity(record.test_case_id, record.parent, record.name, record.parameters)
    return present(
        {
            "id": record.id,
            "uuid": record.uuid,
            "name": record.name,
            "codeRef": record.code_ref,
            "description": record.description,
            "parameters": [{"key": key, "value": value} for key, value in record.parameters],
            "attributes": attributes(record.attributes),
            "type": record.type,
            "startTime": clock(record.start_time),
            "endTime": clock(record.end_time) if record.end_time else None,
            "status": record.status,
            "statistics": statistics((record,)),
            "parent": record.parent.id if record.parent else None,
            "issue": issue(record.issue) if record.issue else None,
            "hasChildren": record.has_children,
            "hasStats": record.has_stats,
            "launchId": record.launch.id if record.retry_of is None else None,
            "uniqueId": record.unique_id,
            "testCaseId": record.test_case_id,
            "testCaseHash": java_hash(case),
            "patternTemplates": [],
            "retries": [item(retry, clock) for retry in record.retries] or None,
            "path": path(record),
        }
    )


def listed_log(record: LogRecord) -> dict[str, Any]:
    """Return a log entry as lists have it: they do not read its uuid."""
    return {key: value for key, value in log(record).items() if key != "uuid"}


def log(record: LogRecord) -> dict[str, Any]:
    """Return a log entry."""
    file = record.attachment
    binary = {"id": str(record.id), "contentType": file.content_type, "fileName": file.name} if file else None
    return present(
        {
            "id": record.id,
            "uuid": record.uuid,
            "time": times.iso(record.time),
            "message": record.message,
            "binaryContent": binary,
            "level": record.level,
            "itemId": record.item.id if record.item else None,
            "launchId": None if record.item else record.launch.id,
        }
    )


def issue(record: Issue) -> dict[str, Any]:
    """Return an issue."""
    tickets = [
        {"ticketId": ticket.ticket_id, "btsUrl": ticket.bts_url, "btsProject": ticket.bts_project, "url": ticket.url}
        for ticket in record.external
    ]
    return present(
        {
            "issueType": record.issue_type,
            "comment": record.comment,
            "autoAnalyzed": record.auto_analyzed,
            "ignoreAnalyzer": record.ignore_analyzer,
            "externalSystemIssues": tickets,
        }
    )


def attributes(records: Iterable[Attribute]) -> list[dict[str, Any]]:
    """Return the attributes that are not the system's."""
    return [present({"key": record.key, "value": record.value}) for record in records if not record.system]


def statistics(items: Iterable[ItemRecord]) -> dict[str, Any]:
    """Count outcomes and defects of the items that have no children and are neither retries nor nested steps."""
    executions: Counter[str] = Counter()
    groups: dict[str, Counter[str]] = {}
    for record in items:
        if record.has_children or not record.has_stats or record.retry_of is not None or record.status == IN_PROGRESS:
            continue
        executions["total"] += 1
        executions["passed" if record.status in POSITIVE else _counter(record.status)] += 1
        if record.issue:
            locator = record.issue.issue_type
            counts = groups.setdefault(defects.group_of(locator).lower(), Counter())
            counts.update(("total", locator))
    return {"executions": dict(executions), "defects": {name: dict(counts) for name, counts in groups.items()}}


def settings(store: Store) -> dict[str, Any]:
    """Return the project's settings: the defect types by group."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for defect in store.defects:
        resource = {
            "id": defect.id,
            "locator": defect.locator,
            "typeRef": defect.group,
            "longName": defect.long_name,
            "shortName": defect.short_name,
            "color": defect.color,
        }
        groups.setdefault(defect.group, []).append(resource)
    return {"project": PROJECT_ID, "subTypes": groups}


def path(record: ItemRecord) -> str:
    """Return the numbers from the root item down, with dots between."""
    numbers = []
    above: ItemRecord | None = record
    while above is not None:
        numbers.append(str(above.id))
        above = above.retry_of or above.parent
    return ".".join(reversed(numbers))


def _counter(status: str) -> str:
    """Return the counter of a status: what was interrupted counts as failed."""
    return "failed" if status == "INTERRUPTED" else status.lower()
