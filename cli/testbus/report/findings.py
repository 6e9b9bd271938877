"""What was found of a run: tests, what they failed for, issues, changes, and coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from testbus_consumers.wording.notice import Line
    from testbus_schemas import Failure, Outcome
    from testbus_schemas.results import Output


@dataclass(frozen=True, kw_only=True)
class TestEnd:
    """How one test of one variant ended, by its last attempt."""

    #: Not for pytest to collect.
    __test__ = False

    #: Node id.
    node_id: str
    #: Variant.
    variant: str
    #: How it ended.
    outcome: Outcome
    #: The last attempt's number; 0 when there was none.
    attempt: int = 0
    #: Seconds of the last attempt.
    duration_s: float = 0.0
    #: Why it did not pass.
    failures: tuple[Failure, ...] = ()
    #: What the last attempt printed; kept of bad ones only.
    output: tuple[Output, ...] = ()
    #: Source file.
    file: str | None = None
    #: Line in the source file, from 1.
    line: int | None = None
    #: What an earlier attempt failed with, as `type: message`; None when none failed.
    before: str | None = None


@dataclass(frozen=True, kw_only=True)
class Issue:
    """An entry of a tracker that stands for a cause."""

    #: Identity of the cause.
    fingerprint: str
    #: Kind of tracker.
    tracker: str
    #: Key there.
    key: str
    #: Its page.
    url: str
    #: Its title.
    title: str
    #: Its status, in the tracker's words.
    status: str
    #: created or updated.
    action: str


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A launch in a ReportPortal."""

    #: Name of the ReportPortal.
    target: str
    #: Its page.
    url: str


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Tests that failed for the same root cause."""

    #: Its identity; empty for tests without a failure text, which are grouped by outcome.
    fingerprint: str
    #: Exception class; empty without a failure text.
    type: str
    #: First line of the first test's message, or what the outcome means.
    message: str
    #: Where the first test's exception was raised, `path:line`; empty when that is not known.
    raised_at: str
    #: Its tests, by variant and name.
    tests: tuple[TestEnd, ...]
    #: Whether it was not there in the run that this one is compared with, as far as a consumer said so.
    new: bool
    #: Entries of trackers that stand for it.
    issues: tuple[Issue, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became worse, or is so no more, in comparison with earlier runs."""

    #: Whether it became worse; otherwise it recovered.
    worse: bool
    #: What: test_failed, coverage_dropped, test_flaky.
    kind: str
    #: The finding in one sentence.
    message: str
    #: The same, with its links.
    line: Line
    #: Fingerprint that the failures share; empty when they share none.
    fingerprint: str
    #: The first tests that it is about.
    tests: tuple[str, ...]
    #: How many tests there are.
    total: int
    #: Run in which it was found.
    since: str
    #: Run that it was compared with; None when there was none.
    baseline_run: str | None


@dataclass(frozen=True, kw_only=True)
class Component:
    """Coverage of one part of the code: lines and, where measured, branches."""

    #: Folder, with forward slashes; "." for the top.
    name: str
    #: Files.
    files: int
    #: Lines and branches that ran.
    covered: int
    #: Lines and branches that could.
    coverable: int
    #: Percent.
    percent: float
    #: Percentage points more than in the earlier run; None without one, or when the part is new.
    change: float | None


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The run that coverage is compared with."""

    #: Run id.
    run: str
    #: Its branch.
    branch: str | None
    #: Its commit.
    commit: str | None
    #: When it started.
    started_at: datetime
    #: What the CI calls it.
    number: str | None = None


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Coverage of the run, all producers together."""

    #: Everything, as one component.
    total: Component
    #: Each component, by name.
    components: tuple[Component, ...]
    #: What the changes are against; None when no earlier run with coverage is at hand.
    earlier: Earlier | None
