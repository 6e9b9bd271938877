"""What a ReportPortal of the sandbox holds, as immutable data for tests, benchmarks and pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a launch or an item."""

    #: Key; None for a plain tag.
    key: str | None
    #: Value, never blank.
    value: str
    #: True when it is hidden from the user interface (agent, os, cpu, …).
    system: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalIssue:
    """A ticket that is linked to an issue."""

    #: Key in the tracker, for example `ABC-12`.
    ticket_id: str
    #: Base URL of the tracker.
    bts_url: str
    #: Project in the tracker.
    bts_project: str
    #: URL of the ticket.
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """The defect of an item."""

    #: Locator of the defect type, for example `ti001`.
    issue_type: str
    #: Comment of the person or program that triaged it.
    comment: str | None = None
    #: True when the analyzer chose the type.
    auto_analyzed: bool = False
    #: True when the analyzer must not learn from it.
    ignore_analyzer: bool = False
    #: Linked tickets.
    external: tuple[ExternalIssue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """The file of a log entry."""

    #: File name, as sent.
    name: str
    #: Media type, as sent.
    content_type: str
    #: Bytes, as sent.
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One log entry of an item or a launch."""

    #: Number on this server.
    id: int
    #: Chosen by the client, or random; two entries may share one.
    uuid: str
    #: UTC.
    time: datetime
    #: ERROR, WARN, INFO, DEBUG, TRACE, FATAL or UNKNOWN.
    level: str
    #: Text.
    message: str
    #: File, if one came along.
    attachment: Attachment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One test item: a suite, a test, a step or a nested step."""

    #: Number on this server.
    id: int
    #: Unique on the server.
    uuid: str
    #: uuid of the parent item; None for a root item.
    parent: str | None
    #: Upper case, for example STEP.
    type: str
    name: str
    #: At most 2,048 characters.
    description: str | None
    #: UTC.
    start_time: datetime
    #: UTC; None while in progress.
    end_time: datetime | None
    #: IN_PROGRESS, PASSED, FAILED, …
    status: str
    #: Defect, if it has one.
    issue: Issue | None
    #: In the order of arrival.
    attributes: tuple[Attribute, ...]
    #: (key, value) pairs.
    parameters: tuple[tuple[str, str], ...]
    #: For example `pkg/test_a.py:TestA.test_p`.
    code_ref: str | None
    #: As sent, or the codeRef with the parameters' values.
    test_case_id: str | None
    #: As sent, or `auto:` and a digest of the names.
    unique_id: str
    #: False for a nested step.
    has_stats: bool
    #: uuid of the item that replaced this one; None unless it is a retry.
    retry_of: str | None
    #: In the order of arrival.
    logs: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One launch with everything in it."""

    #: Number on this server.
    id: int
    #: Unique on the server.
    uuid: str
    #: Counts the launches of one name.
    number: int
    name: str
    #: At most 2,048 characters.
    description: str | None
    #: UTC.
    start_time: datetime
    #: UTC; None while in progress.
    end_time: datetime | None
    #: IN_PROGRESS, PASSED, FAILED, STOPPED, …
    status: str
    #: DEFAULT or DEBUG.
    mode: str
    #: True when it was started again as a rerun.
    rerun: bool
    #: In the order of arrival.
    attributes: tuple[Attribute, ...]
    #: Every item, retries and nested steps included, in the order of their start.
    items: tuple[Item, ...]
    #: Entries of the launch itself.
    logs: tuple[LogEntry, ...]

    def children(self, parent: Item | None = None) -> tuple[Item, ...]:
        """Return the items directly under `parent`, or the root items; retries left out."""
        wanted = parent.uuid if parent is not None else None
        return tuple(item for item in self.items if item.parent == wanted and item.retry_of is None)

    def named(self, name: str) -> Item:
        """Return the last started item of that name, retries left out; raise KeyError when there is none."""
        for item in reversed(self.items):
            if item.name == name and item.retry_of is None:
                return item
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """A business error that v2 did not report to its client."""

    #: What was asked, for example `start item`.
    request: str
    #: uuid of the launch or item of the request.
    uuid: str
    #: ReportPortal's error code.
    code: int
    #: ReportPortal's message.
    message: str
    #: True while the server still waits for the launch or item that is missing.
    waiting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How much a server holds: cheap to read, so that a benchmark can poll it."""

    launches: int
    #: Items of all launches.
    items: int
    #: Items that are not in progress.
    finished: int
    #: Log entries of all launches and items.
    logs: int


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
