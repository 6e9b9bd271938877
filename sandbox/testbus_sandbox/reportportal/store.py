"""The tables of one ReportPortal: every look-up is O(1), every status change keeps its counters.

The store knows uniqueness and counting, as the database does; what is allowed when is in the rules.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from testbus_sandbox.reportportal.defects import DefectTypes
from testbus_sandbox.reportportal.models import IN_PROGRESS, POSITIVE, ItemRecord, LaunchRecord, LogRecord, Totals
from testbus_sandbox.reportportal.refusals import duplicate, too_long

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_sandbox.reportportal.models import ExternalIssue

#: Longest uuid of a launch or an item that the database takes, in characters.
UUID_COLUMN: Final = 36

#: The number of the only project.
PROJECT_ID: Final = 1


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Store:
    """Rows and indexes; used under the portal's lock only."""

    now: Callable[[], datetime] = utc_now
    launches: dict[int, LaunchRecord] = field(default_factory=dict)
    launch_by_uuid: dict[str, LaunchRecord] = field(default_factory=dict)
    latest: dict[str, LaunchRecord] = field(default_factory=dict)
    items: dict[int, ItemRecord] = field(default_factory=dict)
    item_by_uuid: dict[str, ItemRecord] = field(default_factory=dict)
    logs: dict[int, LogRecord] = field(default_factory=dict)
    log_by_uuid: dict[str, LogRecord] = field(default_factory=dict)
    tickets: dict[str, ExternalIssue] = field(default_factory=dict)
    defects: DefectTypes = field(default_factory=DefectTypes)
    open_items: int = 0
    _sequences: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _alike: dict[tuple[object, ...], list[ItemRecord]] = field(default_factory=dict)

    def next_id(self, table: str) -> int:
        """Return the number of the next row of a table; that of a deleted row is never given again."""
        self._sequences[table] += 1
        return self._sequences[table]

    def add_launch(self, launch: LaunchRecord) -> None:
        """Insert a launch; raise ReportPortalError 5000 when its uuid is taken or too long."""
        _check_uuid(launch.uuid, self.launch_by_uuid, "launch_uuid_key")
        self.launches[launch.id] = launch
        self.launch_by_uuid[launch.uuid] = launch
        self.latest[launch.name] = launch

    def add_item(self, item: ItemRecord) -> None:
        """Insert an item below its launch or parent; raise ReportPortalError 5000 for a uuid taken or too long."""
        _check_uuid(item.uuid, self.item_by_uuid, "test_item_uuid_key")
        self.items[item.id] = item
        self.item_by_uuid[item.uuid] = item
        item.launch.items.append(item)
        (item.parent.children if item.parent else item.launch.roots).append(item)
        for key in _identities(item):
            self._alike.setdefault(key, []).append(item)
        self.open_items += 1
        self._count(item, 1)

    def add_log(self, log: LogRecord) -> None:
        """Insert a log entry; the same uuid may come twice, the first keeps the look-up."""
        self.logs[log.id] = log
        self.log_by_uuid.setdefault(log.uuid, log)
        (log.item or log.launch).logs.append(log)

    def remove_launch(self, launch: LaunchRecord) -> None:
        """Delete a launch with all that is in it; its uuids may be used again."""
        del self.launches[launch.id], self.launch_by_uuid[launch.uuid]
        for item in launch.items:
            del self.items[item.id], self.item_by_uuid[item.uuid]
            self.open_items -= item.status == IN_PROGRESS
            for key in _identities(item):
                self._alike.pop(key, None)
        for log in [*launch.logs, *(log for item in launch.items for log in item.logs)]:
            del self.logs[log.id]
            self.log_by_uuid.pop(log.uuid, None)

    def next_launch_number(self, name: str) -> int:
        """Return the number of the next launch of that name."""
        latest = self.latest.get(name)
        return latest.number + 1 if latest else 1

    def set_status(self, item: ItemRecord, status: str) -> None:
        """Change an item's status and every counter above it."""
        if item.status == status:
            return
        self._count(item, -1)
        self.open_items += (status == IN_PROGRESS) - (item.status == IN_PROGRESS)
        item.status = status
        self._count(item, 1)

    def make_retry(self, item: ItemRecord, of: ItemRecord) -> None:
        """Hang `item` below the item that replaced it: it counts no more for its parent and launch."""
        self._count(item, -1)
        item.retry_of = of
        of.retries.append(item)

    def rename(self, record: ItemRecord | LaunchRecord, uuid: str) -> None:
        """Give a row another uuid, as a rerun does; raise ReportPortalError 5000 when it is taken or too long."""
        if record.uuid == uuid:
            return
        if isinstance(record, LaunchRecord):
            _check_uuid(uuid, self.launch_by_uuid, "launch_uuid_key")
            self.launch_by_uuid[uuid] = self.launch_by_uuid.pop(record.uuid)
        else:
            _check_uuid(uuid, self.item_by_uuid, "test_item_uuid_key")
            self.item_by_uuid[uuid] = self.item_by_uuid.pop(record.uuid)
        record.uuid = uuid

    def alike(
        self, *, by: str, launch: LaunchRecord, parent: ItemRecord | None, value: str, but: ItemRecord | None = None
    ) -> ItemRecord | None:
        """Return the last started item of that parent with the same `unique` id or the same test `case`, `but` one."""
        found = self._alike.get((by, launch.id, parent.id if parent else None, value), ())
        candidates = [item for item in found if item.retry_of is None and item.has_stats and item is not but]
        return max(candidates, key=lambda item: (item.start_time, item.id), default=None)

    def totals(self) -> Totals:
        """Return how many rows there are."""
        return Totals(
            launches=len(self.launches),
            items=len(self.items),
            finished=len(self.items) - self.open_items,
            logs=len(self.logs),
        )

    def _count(self, item: ItemRecord, change: int) -> None:
        """Add or remove the item in the counters of its parent and launch; a retry is in none."""
        if item.retry_of is not None:
            return
        if item.status not in POSITIVE:
            if item.parent is not None:
                item.parent.bad += change
            elif item.has_stats:
                item.launch.bad += change
        if item.status == IN_PROGRESS:
            if change > 0:
                item.launch.in_progress[item.id] = item
            else:
                del item.launch.in_progress[item.id]


def unique_id(
    launch: LaunchRecord, parent: ItemRecord | None, name: str, parameters: tuple[tuple[str, str], ...]
) -> str:
    """Return what ReportPortal makes of the names on an item's path: `auto:` and an MD5 (TestItemUniqueIdGenerator)."""
    path = [str(PROJECT_ID), launch.name, *_path_names(parent), name]
    if parameters:
        path.append(",".join(f"{key}={value}" if key else value for key, value in parameters))
    return "auto:" + hashlib.md5(";".join(path).encode(), usedforsecurity=False).hexdigest()


def case_identity(
    test_case_id: str | None, parent: ItemRecord | None, name: str, parameters: tuple[tuple[str, str], ...]
) -> str:
    """Return the text whose hash is a test case hash: the testCaseId or, without one, the names on the path."""
    if test_case_id is not None:
        return test_case_id
    values = (f"{key}={value}" if key else value for key, value in parameters)
    return ";".join([str(PROJECT_ID), *_path_names(parent), name, *values])


def java_hash(text: str) -> int:
    """Return Java's String.hashCode, a signed 32-bit number."""
    result = 0
    encoded = text.encode("utf-16-be", "surrogatepass")
    for index in range(0, len(encoded), 2):
        result = (31 * result + (encoded[index] << 8) + encoded[index + 1]) & 0xFFFFFFFF
    return result - ((result & 0x8000_0000) << 1)


def _path_names(item: ItemRecord | None) -> list[str]:
    """Return the names from the root down to `item`."""
    names: list[str] = []
    while item is not None:
        names.append(item.name)
        item = item.parent
    return names[::-1]


def _identities(item: ItemRecord) -> tuple[tuple[object, ...], ...]:
    """Return the keys under which retries and reruns look for the item."""
    place = (item.launch.id, item.parent.id if item.parent else None)
    case = case_identity(item.test_case_id, item.parent, item.name, item.parameters)
    return ("unique", *place, item.unique_id), ("case", *place, case)


def _check_uuid(uuid: str, taken: dict[str, LaunchRecord] | dict[str, ItemRecord], constraint: str) -> None:
    """Raise what the database says of a uuid that is too long or taken."""
    if len(uuid) > UUID_COLUMN:
        raise too_long(UUID_COLUMN)
    if uuid in taken:
        raise duplicate(constraint)
