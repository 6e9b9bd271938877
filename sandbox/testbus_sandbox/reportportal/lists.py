"""What ReportPortal's lists of launches, items and log entries can be filtered by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_sandbox.reportportal import times
from testbus_sandbox.reportportal.filters import Criterion, Page, boolean, long_number, select
from testbus_sandbox.reportportal.logs import LEVELS
from testbus_sandbox.reportportal.refusals import BAD_REQUEST, INCORRECT_FILTER_PARAMETERS, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from testbus_sandbox.reportportal.records import ItemRecord, LaunchRecord, LogRecord
    from testbus_sandbox.reportportal.store import Store


def _moment(text: str) -> datetime:
    """Convert an instant of a filter."""
    try:
        return times.parse(text)
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
