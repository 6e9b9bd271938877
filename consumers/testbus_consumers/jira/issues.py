"""Which issue stands for which cause, and which runs met it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    JSON,
    Column,
    Double,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    select,
    update,
)

from testbus_consumers.jira.document import clean, excerpt
from testbus_consumers.store.engine import insert
from testbus_consumers.store.run_key import RunKey, run_columns
from testbus_consumers.wording.text import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_consumers.records.models import Attempt
    from testbus_consumers.records.reading import Record
    from testbus_consumers.runtime import State
    from testbus_schemas import LaunchLinked, RunContext


#: Everything that `jira` keeps.
METADATA = MetaData()

#: One row per run and ReportPortal: its launch there, until the run is filed with it.
LAUNCH = Table(
    "launch",
    METADATA,
    *run_columns(),
    Column("target", String(64), nullable=False),
    Column("url", Text, nullable=False),
    PrimaryKeyConstraint("project", "run", "target"),
)

#: One row per project of Jira and cause.
ISSUE = Table(
    "issue",
    METADATA,
    Column("project", String(32), nullable=False),
    Column("fingerprint", String(32), nullable=False),
    # 1 for the first issue; one more for each that had to follow because the one before stays closed
    Column("generation", Integer, nullable=False),
    # null until it is filed
    Column("key", String(64)),
    # the issue before this one
    Column("previous", String(64)),
    # the run that it was created for, as project/id; null when it was there already
    Column("filed_run", String(384)),
    # when it was last commented on, seconds since the epoch
    Column("commented_at", Double),
    # runs that met the cause, in all; the first one; and the latest ones, the newest first
    Column("runs", Integer, nullable=False),
    Column("first", JSON, nullable=False),
    Column("latest", JSON, nullable=False),
    PrimaryKeyConstraint("project", "fingerprint"),
)


#: Runs that an issue's table shows.
SHOWN: Final = 10


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A run's launch in ReportPortal."""

    #: Name of the ReportPortal.
    target: str
    #: Address of its page.
    url: str


@dataclass(frozen=True, kw_only=True)
class Occurrence:
    """A run that met a cause."""

    project: str
    #: Run id.
    run: str
    #: When it started, seconds since the epoch.
    at: float
    #: Project and suite, for people.
    suite: str
    #: Branch; None when it is not known.
    branch: str | None
    #: Full commit id; None when it is not known.
    commit: str | None
    #: Address of the CI's page; None when there is none.
    build_url: str | None
    #: How many tests failed for it.
    tests: int
    #: What the CI calls it; None without a number, and of a run that an older version met.
    number: str | None = None
    #: Its launches in ReportPortal.
    launches: tuple[Launch, ...] = ()

    @property
    def key(self) -> RunKey:
        """Return what names the run in tables."""
        return RunKey(self.project, self.run)


@dataclass(frozen=True, kw_only=True)
class Issue:
    """What is known of a cause's issue."""

    #: Key of its project in Jira.
    project: str
    #: The cause.
    fingerprint: str
    #: 1 for the first issue of the cause, 2 for the next, ….
    generation: int = 1
    #: Its key; None until it is filed.
    key: str | None = None
    #: Key of the issue before it, which stays closed.
    previous: str | None = None
    #: The run that it was created for, as `project/id`; None when it was there already.
    filed_run: str | None = None
    #: When it was last commented on, seconds since the epoch.
    commented_at: float | None = None
    #: Runs that met the cause.
    runs: int
    #: The one of them that started first.
    first: Occurrence
    #: Those that started last, the newest first.
    latest: tuple[Occurrence, ...]

    @property
    def label(self) -> str:
        """Return the label that every issue of the cause has."""
        return f"testbus-{self.fingerprint.replace(':', '-')}"

    @property
    def own_label(self) -> str:
        """Return the label that only this generation's issue is created with."""
        return self.label if self.generation == 1 else f"{self.label}-{self.generation}"


def occurrence(context: RunContext, cause: CauseOfRun, launches: tuple[Launch, ...]) -> Occurrence:
    """Return a run as one that met a cause."""
    return Occurrence(
        project=context.project,
        run=context.run,
        at=context.started_at.timestamp(),
        suite=clean(f"{context.project} · {context.suite}"),
        branch=clean(context.branch) if context.branch else None,
        commit=context.commit,
        build_url=context.build_url,
        tests=len(cause.tests),
        number=context.run_number,
        launches=launches,
    )


def keep_launch(state: State[Any], data: LaunchLinked) -> None:
    """Keep where a run's launch is."""
    this = {**RunKey.of(data.context).values, "target": data.target}
    statement = insert(state.connection, LAUNCH).values(**this, url=data.url)
    keys = [LAUNCH.c.project, LAUNCH.c.run, LAUNCH.c.target]
    state.execute(statement.on_conflict_do_update(index_elements=keys, set_={"url": data.url}))


def launches_of(state: State[Any], key: RunKey) -> tuple[Launch, ...]:
    """Return the launches of a run that were heard of, by target."""
    query = select(LAUNCH).where(*key.rows(LAUNCH)).order_by(LAUNCH.c.target)
    return tuple(Launch(target=row.target, url=row.url) for row in state.execute(query))


def with_launches(issue: Issue, key: RunKey, launches: tuple[Launch, ...]) -> Issue:
    """Return an issue in which a run has these launches."""

    def changed(one: Occurrence) -> Occurrence:
        return replace(one, launches=launches) if one.key == key else one

    return replace(issue, first=changed(issue.first), latest=tuple(map(changed, issue.latest)))


def of_causes(state: State[Any], project: str, fingerprints: Iterable[str]) -> dict[str, Issue]:
    """Return what is known of causes, by fingerprint; those that are new are left out."""
    query = select(ISSUE).where(ISSUE.c.project == project, ISSUE.c.fingerprint.in_(list(fingerprints)))
    return {row.fingerprint: _issue(row._mapping) for row in state.execute(query)}  # noqa: SLF001 SQLAlchemy's public name


def met(state: State[Any], project: str, fingerprint: str, run: Occurrence) -> Issue:
    """Keep that a run met a cause (again, if its number of tests has changed), and return the cause's issue."""
    before = of_causes(state, project, [fingerprint]).get(fingerprint)
    if before is None:
        issue = Issue(project=project, fingerprint=fingerprint, runs=1, first=run, latest=(run,))
    else:
        others = [one for one in before.latest if one.key != run.key]
        again = len(others) < len(before.latest) or before.first.key == run.key
        first = run if run.key == before.first.key or run.at < before.first.at else before.first
        newest = sorted([run, *others], key=lambda one: (-one.at, one.key))[:SHOWN]
        issue = replace(before, runs=before.runs + (not again), first=first, latest=tuple(newest))
    row = {"runs": issue.runs, "first": asdict(issue.first), "latest": [asdict(one) for one in issue.latest]}
    statement = insert(state.connection, ISSUE).values(project=project, fingerprint=fingerprint, generation=1, **row)
    state.execute(statement.on_conflict_do_update(index_elements=[ISSUE.c.project, ISSUE.c.fingerprint], set_=row))
    return issue


def change(state: State[Any], issue: Issue, **values: Any) -> Issue:
    """Keep new values of an issue, and return it with them; what others have kept of it meanwhile stays."""
    ours = update(ISSUE).where(ISSUE.c.project == issue.project, ISSUE.c.fingerprint == issue.fingerprint)
    state.execute(ours.values(**values))
    return replace(issue, **values)


def _issue(row: Any) -> Issue:
    values = dict(row)
    first, latest = values.pop("first"), values.pop("latest")
    return Issue(**values, first=_occurrence(first), latest=tuple(map(_occurrence, latest)))


def _occurrence(values: dict[str, Any]) -> Occurrence:
    return Occurrence(**values | {"launches": tuple(Launch(**one) for one in values.get("launches", ()))})


#: Characters of a failure's text that an issue may show.
_TEXT_CHARS: Final = 6000

#: Characters of a message's first line.
_MESSAGE_CHARS: Final = 500


@dataclass(frozen=True, kw_only=True)
class CauseOfRun:
    """One root cause in one run."""

    #: Its identity.
    fingerprint: str
    #: Exception class.
    type: str
    #: First line of the message.
    message: str
    #: End of the failure's text.
    text: str
    #: Tests that failed for it, with the variant when that is not the default, in order.
    tests: tuple[str, ...]


def causes_of(record: Record) -> list[CauseOfRun]:
    """Return the causes of a run's failures, those of most tests first.

    A test fails for the cause of its last attempt: one that passed in the end is flaky, and nobody's issue.
    """
    found = [
        CauseOfRun(
            fingerprint=cause.fingerprint,
            type=clean(cause.type),
            message=clean(first_line(cause.message))[:_MESSAGE_CHARS],
            text=excerpt(cause.text or cause.message, _TEXT_CHARS),
            tests=tuple(sorted({_name(test) for test in cause.tests})),
        )
        for cause in record.causes()
    ]
    return sorted(found, key=lambda cause: (-len(cause.tests), cause.fingerprint))


def _name(test: Attempt) -> str:
    variant = f" [{test.variant}]" if test.variant != "default" else ""
    return f"{clean(test.node_id)}{variant}"
