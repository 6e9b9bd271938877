"""What a report says of a run: plain data, the same for every form that it is written in. Instants are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from testbus_schemas import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from testbus_consumers.wording.notice import Line
    from testbus_schemas import Failure, RuleEvaluated
    from testbus_schemas.results import Output


@dataclass(frozen=True, kw_only=True)
class TestEnd:
    """How one test of one variant ended, by its last attempt."""

    #: Not for pytest to collect.
    __test__ = False

    node_id: str
    variant: str
    #: How it ended.
    outcome: Outcome
    #: The last attempt's number; 0 when there was none.
    attempt: int = 0
    #: Seconds of the last attempt.
    duration_s: float = 0.0
    #: Fingerprint of why it did not pass; empty where it passed, or nobody knows why not.
    cause: str = ""
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
class CauseReport:
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

    #: A configured component's; "other" for what is of none. Without any, a folder, with forward slashes; "." for the
    #: top.
    name: str
    files: int
    #: Lines and branches that ran.
    covered: int
    #: Lines and branches that could.
    coverable: int
    percent: float
    #: Percentage points more than in the earlier run; None without one, or when the part is new.
    change: float | None


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The run that coverage is compared with."""

    #: Run id.
    run: str
    branch: str | None
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
    #: Each component, in the configuration's order; folders by name.
    components: tuple[Component, ...]
    #: What the changes are against; None when no earlier run with coverage is at hand.
    earlier: Earlier | None


class Life(StrEnum):
    """Where a run is in its life."""

    #: Something may still come.
    OPEN = "open"
    #: Everything has come.
    COMPLETED = "completed"
    #: Something is missing, and will not come any more.
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What was tested; of differing values the earliest event's."""

    #: Run id.
    run: str
    project: str
    suite: str
    #: Stage of the pipeline.
    stage: str | None
    #: Repository, `owner/name`.
    repository: str | None
    #: Full commit id.
    commit: str | None
    #: Branch or commit that it is compared with.
    base: str | None
    branch: str | None
    #: Number of the pull request.
    pull_request: str | None
    #: Labels that all producers share.
    labels: Mapping[str, str]
    #: The CI's page of the build.
    build_url: str | None
    #: What the CI calls the run.
    number: str | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The latest verdict."""

    #: passed, failed or incomplete.
    verdict: str
    #: Why it is not `passed`, for people.
    reasons: tuple[str, ...]
    #: Every rule.
    rules: tuple[RuleEvaluated, ...]
    #: The decision of `runs` that it stands on.
    revision: int
    #: Version of the rules.
    policy: str
    #: When it was given.
    decided_at: datetime
    #: False when the run was opened again, or decided anew, after it.
    current: bool
    #: Whether the run is incomplete because a person or the CI cancelled it.
    cancelled: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the reasons that no rule gave."""
        messages = {rule.message for rule in self.rules}
        return tuple(reason for reason in self.reasons if reason not in messages)


@dataclass(frozen=True, kw_only=True)
class Producer:
    """One process that published for the run."""

    id: str
    #: What it is, with version: `pytest 8.3.4`; empty when that is not at hand.
    tool: str
    #: Its machine.
    host: str
    variant: str
    #: Its shard, 0 when the tests are not split.
    shard: int
    #: How many shards it believes there are.
    shards: int | None
    #: CI attempt.
    attempt: int
    #: How it ended; None while it has not said so.
    status: str | None
    #: Exit status of its process.
    exit_status: int | None
    #: Tests it collected; None when it does not collect.
    collected: int | None
    #: Results it recorded; those at hand while it has not ended.
    reported: int
    #: Results that did not fit into its spool.
    dropped: int
    #: The CI's page of its job.
    build_url: str | None
    #: Whether a later CI attempt replaced it: nothing of it counts.
    superseded: bool


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The tests of one environment."""

    name: str
    #: Labels that its producers share.
    labels: Mapping[str, str]
    #: Tests by outcome.
    counts: Mapping[str, int]
    #: Seconds of all its tests together.
    tests_s: float
    #: Shards that reported; empty when the tests are not split.
    shards: tuple[int, ...]
    #: How many shards there are, as far as anybody said.
    shards_total: int | None


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """One run."""

    #: What was tested.
    identity: Identity
    #: Where the run is in its life.
    life: Life
    #: Number of the latest decision of `runs`; 0 before any.
    revision: int
    #: What is missing of an interrupted run, for people.
    missing: tuple[str, ...]
    #: When the first producer started.
    started_at: datetime
    #: What the runner's clock said of that, where it was more than a day ahead; None where it was not.
    clock_claimed: datetime | None = None
    #: When the last one ended; None while the run is open.
    finished_at: datetime | None
    #: The latest verdict; None before any.
    judgement: Judgement | None
    #: Tests by outcome, the last attempt of each.
    counts: Mapping[str, int]
    #: Tests that were collected and may still report.
    pending: int
    #: Seconds of all tests together.
    tests_s: float
    #: What failed, the cause with the most tests first.
    causes: tuple[CauseReport, ...]
    #: Tests that passed after an attempt that failed.
    retried: tuple[TestEnd, ...]
    #: The slowest tests, the slowest first.
    slowest: tuple[TestEnd, ...]
    #: Coverage; None when nothing measured.
    coverage: Coverage | None
    #: Variants, by name.
    variants: tuple[Variant, ...]
    #: Producers, by variant, shard and attempt.
    producers: tuple[Producer, ...]
    #: Every linked issue, by key.
    issues: tuple[Issue, ...]
    #: Regressions, and what recovered.
    changes: tuple[Change, ...]
    #: The run's launches in ReportPortal, by target.
    launches: tuple[Launch, ...]
    #: Events that this was built from.
    events: int
    #: Events that were counted when the run was decided, and are not at hand any more.
    absent: int

    @property
    def total(self) -> int:
        """Return how many tests there are."""
        return sum(self.counts.values())

    @property
    def bad(self) -> int:
        """Return how many tests need a person."""
        return sum(count for outcome, count in self.counts.items() if Outcome(outcome).bad)

    @property
    def verdict(self) -> str | None:
        """Return the verdict that holds now; None when there is none."""
        return self.judgement.verdict if self.judgement and self.judgement.current else None

    @property
    def took_s(self) -> float | None:
        """Return the seconds from the first start to the last end; None while the run is open."""
        return None if self.finished_at is None else max(0.0, (self.finished_at - self.started_at).total_seconds())
