"""What ReportPortal's lists of launches, items and log entries can be filtered by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from testbus_sandbox.reportportal import defects, fields
from testbus_sandbox.reportportal.logs import LEVELS
from testbus_sandbox.reportportal.models import IN_PROGRESS, POSITIVE
from testbus_sandbox.reportportal.refusals import (
    BAD_REQUEST,
    INCORRECT_FILTER_PARAMETERS,
    INCORRECT_SORTING_PARAMETERS,
    refuse,
)
from testbus_sandbox.reportportal.store import PROJECT_ID, case_identity, java_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import TypeAlias

    from testbus_sandbox.reportportal.models import Attribute, Issue, ItemRecord, LaunchRecord, LogRecord
    from testbus_sandbox.reportportal.store import Store

    Clock: TypeAlias = Callable[[datetime], int | str]


Row = TypeVar("Row")

#: Rows on a page unless the request says otherwise.
PAGE_SIZE: Final = 50

#: Rows on a page, at most.
MAX_PAGE_SIZE: Final = 300_000

#: What a filter may compare with: of the server's conditions, those that reporting clients use.
CONDITIONS: Final = ("eq", "ne", "cnt", "in", "ex", "gt", "gte", "lt", "lte")


@dataclass(frozen=True, slots=True)
class Criterion(Generic[Row]):
    """One name that a list can be filtered and sorted by."""

    #: Returns the row's value: text, number, boolean, or None.
    value: Callable[[Row], Any]
    #: Converts the text of a request to the same type; raises ValueError.
    convert: Callable[[str], Any] = str


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page of a list."""

    content: Sequence[Row]
    #: 1-based.
    number: int
    #: Rows that fit.
    size: int
    #: Rows of all pages.
    total: int

    def resource(self, convert: Callable[[Row], dict[str, Any]]) -> dict[str, Any]:
        """Return the JSON of the page."""
        return {
            "content": [convert(row) for row in self.content],
            "page": {
                "number": self.number,
                "size": self.size,
                "totalElements": self.total,
                "totalPages": -(-self.total // self.size),
            },
        }


def select(
    rows: Iterable[Row], query: Mapping[str, str], criteria: Mapping[str, Criterion[Row]], *, sort: str = "id"
) -> Page[Row]:
    """Return the page that the query asks for; raise ReportPortalError 40011, 40012 or 40016."""
    tests = [_test(key, text, criteria) for key, text in query.items() if key.startswith("filter.")]
    found = [row for row in rows if all(test(row) for test in tests)]
    name, _, direction = query.get("page.sort", sort).partition(",")
    if name not in criteria:
        raise refuse(INCORRECT_SORTING_PARAMETERS, name)
    value = criteria[name].value
    found.sort(key=lambda row: (value(row) is not None, value(row)), reverse=direction.lower() == "desc")
    number, size = _number(query, "page.page", 1), _number(query, "page.size", PAGE_SIZE)
    size = min(size or PAGE_SIZE, MAX_PAGE_SIZE)
    number = max(number, 1)
    return Page(found[(number - 1) * size : number * size], number, size, len(found))


def long_number(text: str) -> int:
    """Convert a number of a filter, with the server's words for what is none."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"Cannot convert '{text}' to valid number") from None


def boolean(text: str) -> bool:
    """Convert a boolean of a filter: everything but `true` is false, as in Java."""
    return text.lower() == "true"


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    """Return a number of the page's parameters; what is none counts as the default."""
    text = query.get(name, "")
    return int(text) if text.isdecimal() else default


def _test(key: str, text: str, criteria: Mapping[str, Criterion[Row]]) -> Callable[[Row], bool]:
    """Return the predicate of one filter parameter."""
    tokens = key.split(".")
    if len(tokens) != len(("filter", "condition", "criterion")):
        raise refuse(INCORRECT_FILTER_PARAMETERS, "Incorrect format of filtering parameters")
    negative = tokens[1].startswith("!")
    condition = tokens[1].removeprefix("!")
    if condition not in CONDITIONS:
        raise refuse(INCORRECT_FILTER_PARAMETERS, f"Unable to find condition with marker '{condition}'")
    if not text.strip():
        raise refuse(BAD_REQUEST, f"Filter criteria - '{key}' value should be not empty")
    criterion = criteria.get(tokens[2])
    if criterion is None:
        raise refuse(INCORRECT_FILTER_PARAMETERS, f"Filter parameter {tokens[2]} is not defined")
    try:
        matches = _condition(condition, text, criterion.convert)
    except ValueError as error:
        raise refuse(INCORRECT_FILTER_PARAMETERS, error) from None
    value = criterion.value
    return lambda row: matches(value(row)) is not negative


def _condition(condition: str, text: str, convert: Callable[[str], Any]) -> Callable[[Any], bool]:
    """Return the comparison of a row's value with the text of the request."""
    if condition == "ex":
        return lambda value: (value is not None) is boolean(text)
    if condition == "cnt":
        return lambda value: text.lower() in str(value).lower()
    if condition == "in":
        wanted = {convert(part.strip()) for part in text.split(",")}
        return lambda value: value in wanted
    one = convert(text)
    comparisons: dict[str, Callable[[Any], bool]] = {
        "eq": lambda value: bool(value == one),
        "ne": lambda value: bool(value != one),
        "gt": lambda value: value is not None and bool(value > one),
        "gte": lambda value: value is not None and bool(value >= one),
        "lt": lambda value: value is not None and bool(value < one),
        "lte": lambda value: value is not None and bool(value <= one),
    }
    return comparisons[condition]


def _moment(text: str) -> datetime:
    """Convert an instant of a filter."""
    try:
        return fields.parse(text)
    except ValueError:
        raise ValueError(f"Cannot convert '{text}' to valid date") from None


def _level(text: str) -> int:
    """Convert a log level of a filter to its number, so that `gte` works."""
    try:
        return LEVELS[text.upper()]
    except KeyError:
        raise ValueError(f"Cannot convert '{text}' to valid 'LogLevel'") from None


LAUNCH_CRITERIA: Final[Mapping[str, Criterion[LaunchRecord]]] = {
    "id": Criterion(lambda launch: launch.id, long_number),
    "uuid": Criterion(lambda launch: launch.uuid),
    "name": Criterion(lambda launch: launch.name),
    "description": Criterion(lambda launch: launch.description),
    "number": Criterion(lambda launch: launch.number, long_number),
    "status": Criterion(lambda launch: launch.status, str.upper),
    "mode": Criterion(lambda launch: launch.mode, str.upper),
    "startTime": Criterion(lambda launch: launch.start_time, _moment),
    "endTime": Criterion(lambda launch: launch.end_time, _moment),
    "lastModified": Criterion(lambda launch: launch.last_modified, _moment),
    "hasRetries": Criterion(lambda launch: launch.has_retries, boolean),
}

ITEM_CRITERIA: Final[Mapping[str, Criterion[ItemRecord]]] = {
    "id": Criterion(lambda item: item.id, long_number),
    "uuid": Criterion(lambda item: item.uuid),
    "name": Criterion(lambda item: item.name),
    "launchId": Criterion(lambda item: item.launch.id, long_number),
    "parentId": Criterion(lambda item: item.parent.id if item.parent else None, long_number),
    "status": Criterion(lambda item: item.status, str.upper),
    "type": Criterion(lambda item: item.type, str.upper),
    "uniqueId": Criterion(lambda item: item.unique_id),
    "testCaseId": Criterion(lambda item: item.test_case_id),
    "hasStats": Criterion(lambda item: item.has_stats, boolean),
    "hasChildren": Criterion(lambda item: item.has_children, boolean),
    "hasRetries": Criterion(lambda item: bool(item.retries), boolean),
    "issueType": Criterion(lambda item: item.issue.issue_type if item.issue else None, str.lower),
    "startTime": Criterion(lambda item: item.start_time, _moment),
}

LOG_CRITERIA: Final[Mapping[str, Criterion[LogRecord]]] = {
    "id": Criterion(lambda log: log.id, long_number),
    "logId": Criterion(lambda log: log.id, long_number),
    "item": Criterion(lambda log: log.item.id if log.item else None, long_number),
    "launch": Criterion(lambda log: None if log.item else log.launch.id, long_number),
    "launchId": Criterion(lambda log: log.launch.id if log.item else None, long_number),
    "message": Criterion(lambda log: log.message),
    "level": Criterion(lambda log: LEVELS[log.level], _level),
    "logTime": Criterion(lambda log: log.time, _moment),
}


def launches(store: Store, query: Mapping[str, str], mode: str) -> Page[LaunchRecord]:
    """Return a page of the launches of one mode."""
    if any(key.endswith(".mode") for key in query):
        raise refuse(INCORRECT_FILTER_PARAMETERS, "Filters for 'mode' aren't applicable for project's launches.")
    rows: Iterable[LaunchRecord] = store.launches.values()
    if (uuid := query.get("filter.eq.uuid")) is not None:
        rows = [store.launch_by_uuid[uuid]] if uuid in store.launch_by_uuid else []
    return select([launch for launch in rows if launch.mode == mode], query, LAUNCH_CRITERIA)


def items(store: Store, query: Mapping[str, str]) -> Page[ItemRecord]:
    """Return a page of a launch's items, retries left out; `filter.eq.launchId` is required."""
    launch = store.launches.get(_id(query, "filter.eq.launchId"))
    if "filter.eq.launchId" not in query:
        raise refuse(BAD_REQUEST, "Neither launch nor filter id specified.")
    rows = launch.items if launch else []
    return select([item for item in rows if item.retry_of is None], query, ITEM_CRITERIA)


def logs(store: Store, query: Mapping[str, str]) -> Page[LogRecord]:
    """Return a page of log entries; those of items that are named are found without looking at the others."""
    rows: Iterable[LogRecord] = store.logs.values()
    for name in ("filter.eq.item", "filter.in.item"):
        if name in query:
            numbers = [_id({name: part.strip()}, name) for part in query[name].split(",")]
            rows = [log for number in numbers if (item := store.items.get(number)) for log in item.logs]
    return select(rows, query, LOG_CRITERIA, sort="logTime")


def _id(query: Mapping[str, str], name: str) -> int:
    """Return the number that a filter names, -1 without one; raise ReportPortalError 40011 for other text."""
    try:
        return long_number(query.get(name, "-1"))
    except ValueError as error:
        raise refuse(INCORRECT_FILTER_PARAMETERS, error) from None


def present(resource: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is null."""
    return {key: value for key, value in resource.items() if value is not None}


def launch(record: LaunchRecord, clock: Clock = fields.epoch_ms) -> dict[str, Any]:
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


def item(record: ItemRecord, clock: Clock = fields.epoch_ms) -> dict[str, Any]:
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
            "time": fields.iso(record.time),
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
