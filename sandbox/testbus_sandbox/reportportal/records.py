"""The rows of a ReportPortal: mutable, private to its store and rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from testbus_sandbox.reportportal.models import Attachment, Attribute, Issue

#: Status of what was started and not finished.
IN_PROGRESS: Final = "IN_PROGRESS"

#: Statuses that leave a suite and a launch PASSED.
POSITIVE: Final = frozenset({"PASSED", "INFO", "WARN"})

#: Types that are above STEP: their status is computed, even without children.
ABOVE_STEP: Final = frozenset({"SUITE", "STORY", "TEST", "SCENARIO", "BEFORE_SUITE", "AFTER_SUITE"})


@dataclass(slots=True, eq=False, kw_only=True)
class LogRecord:
    """A row of table log."""

    id: int
    uuid: str
    time: datetime
    level: str
    message: str
    launch: LaunchRecord
    item: ItemRecord | None
    attachment: Attachment | None


@dataclass(slots=True, eq=False, kw_only=True)
class ItemRecord:
    """A row of table test_item, joined with its result; `bad` counts direct children that are not POSITIVE."""

    id: int
    uuid: str
    launch: LaunchRecord
    parent: ItemRecord | None
    type: str
    name: str
    start_time: datetime
    has_stats: bool
    unique_id: str
    description: str | None = None
    end_time: datetime | None = None
    status: str = IN_PROGRESS
    issue: Issue | None = None
    attributes: list[Attribute] = field(default_factory=list)
    parameters: tuple[tuple[str, str], ...] = ()
    code_ref: str | None = None
    test_case_id: str | None = None
    depth: int = 1
    has_children: bool = False
    retry_of: ItemRecord | None = None
    retries: list[ItemRecord] = field(default_factory=list)
    children: list[ItemRecord] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    bad: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class LaunchRecord:
    """A row of table launch; `bad` counts root items with statistics that are not POSITIVE."""

    id: int
    uuid: str
    number: int
    name: str
    mode: str
    start_time: datetime
    last_modified: datetime
    description: str | None = None
    end_time: datetime | None = None
    status: str = IN_PROGRESS
    rerun: bool = False
    has_retries: bool = False
    attributes: list[Attribute] = field(default_factory=list)
    items: list[ItemRecord] = field(default_factory=list)
    roots: list[ItemRecord] = field(default_factory=list)
    in_progress: dict[int, ItemRecord] = field(default_factory=dict)
    logs: list[LogRecord] = field(default_factory=list)
    bad: int = 0


def is_ancestor(item: ItemRecord, of: ItemRecord) -> bool:
    """Return whether `item` is somewhere above `of`."""
    above = of.parent
    while above is not None:
        if above is item:
            return True
        above = above.parent
    return False
