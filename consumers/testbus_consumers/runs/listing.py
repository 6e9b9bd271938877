"""Which runs there are: what others may ask of `runs` without knowing its tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, func, or_, select

from testbus_consumers.records.tables import PRODUCER, RUN, SHARDS
from testbus_consumers.runs.completeness import assess
from testbus_consumers.runs.producers import facts
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import RunContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

#: Runs that are looked through for one to compare with.
_LOOKED_THROUGH: Final = 500


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """One run."""

    #: The first context that was seen of it, without its shard.
    context: RunContext
    #: open, completed or interrupted.
    status: str
    #: Number of the latest decision; 0 before any.
    revision: int
    #: What is missing of an interrupted run.
    reasons: tuple[str, ...]
    #: When its first producer began, or `runs` heard of it if that was earlier.
    started_at: datetime
    #: When `runs` last heard of it, by its own clock.
    heard_at: datetime

    @property
    def key(self) -> RunKey:
        """Return what names it in tables."""
        return RunKey.of(self.context)

    @property
    def run(self) -> str:
        """Return the run's id."""
        return self.context.run


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which runs are looked for; everything that is not None has to fit."""

    #: Of this project.
    project: str | None = None
    #: Of this suite.
    suite: str | None = None
    #: Of this branch.
    branch: str | None = None


def recent(connection: Connection, wanted: Wanted, *, limit: int, offset: int = 0) -> list[ListedRun]:
    """Return those of the runs that started last, the newest first; `offset` of them are passed over."""
    query = _runs().order_by(RUN.c.ordered_at.desc(), RUN.c.run, RUN.c.project).limit(limit).offset(offset)
    fields = {"project": wanted.project, "suite": wanted.suite, "branch": wanted.branch}
    conditions = (RUN.c[name] == value for name, value in fields.items() if value is not None)
    return _listed(connection.execute(query.where(*conditions)))


def named(connection: Connection, beginning: str, *, limit: int = 20) -> list[ListedRun]:
    """Return the runs of this very id, or `project/id`, else those whose id begins so, the newest first."""
    this = or_(RUN.c.run == beginning, and_(*RunKey.parse(beginning).rows(RUN)))
    exact = _listed(connection.execute(_runs().where(this).order_by(RUN.c.ordered_at.desc())))
    if exact:
        return exact
    query = _runs().where(RUN.c.run.startswith(beginning, autoescape=True)).order_by(RUN.c.ordered_at.desc())
    # LIKE of SQLite takes upper and lower case for the same.
    return [one for one in _listed(connection.execute(query.limit(limit))) if one.run.startswith(beginning)]


def names(runs: Sequence[ListedRun]) -> list[str]:
    """Return what tells runs apart, for people: their ids, or `project/id` where several have one."""
    same = len({one.run for one in runs}) < len(runs)
    return [str(one.key) if same else one.run for one in runs]


def earlier(connection: Connection, run: ListedRun) -> ListedRun | None:
    """Return the complete run to compare one with: the last of its suite, before it, on its base.

    The base is a branch or a commit; a run without one is compared with its own branch. None when there is none.
    """
    base = run.context.base or run.context.branch
    query = (
        _runs()
        .where(RUN.c.project == run.context.project, RUN.c.suite == run.context.suite, RUN.c.run != run.run)
        .where(RUN.c.status == "completed")
        .where(RUN.c.ordered_at < run.started_at.timestamp())
        .order_by(RUN.c.ordered_at.desc(), RUN.c.run)
        .limit(_LOOKED_THROUGH)
    )
    for one in _listed(connection.execute(query)):
        places = {one.context.branch, one.context.commit} if base else {one.context.branch}
        if base in places:
            return one
    return None


def awaited(connection: Connection, key: RunKey, now: float) -> tuple[str, ...]:
    """Return what an open run still lacks, for people; `now` in seconds since the epoch."""
    rows = connection.execute(select(PRODUCER).where(*key.rows(PRODUCER)))
    totals = {row.variant: row.total for row in connection.execute(select(SHARDS).where(*key.rows(SHARDS)))}
    return assess(facts(rows, now), totals).awaited


def _runs() -> Any:
    """Return the query for runs, each with when it was last heard of."""
    heard = select(func.max(PRODUCER.c.heard_at)).where(
        PRODUCER.c.project == RUN.c.project, PRODUCER.c.run == RUN.c.run
    )
    return select(RUN, heard.scalar_subquery().label("heard_at"))


def _listed(rows: Iterable[Any]) -> list[ListedRun]:
    return [
        ListedRun(
            context=RunContext.model_validate(row.context),
            status=row.status,
            revision=row.revision,
            reasons=tuple(row.reasons),
            started_at=datetime.fromtimestamp(row.ordered_at, UTC),
            heard_at=datetime.fromtimestamp(row.heard_at or row.ordered_at, UTC),
        )
        for row in rows
    ]
