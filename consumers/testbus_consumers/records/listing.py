"""Which runs there are: found by what is known of them, with the run that each is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import and_, func, or_, select

from testbus_consumers.records.facts import kept_facts
from testbus_consumers.records.parts import Part, part_of
from testbus_consumers.records.tables import DECISION, PRODUCER, RUN
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import RunContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

#: Runs that are looked through for one that tested the same variants.
_LOOKED_THROUGH: Final = 50


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run, in short."""

    #: The first context that was seen of it, without its shard.
    context: RunContext
    #: open, completed or interrupted.
    status: str
    #: Number of the latest decision; 0 before any.
    revision: int
    #: What is missing of an interrupted run.
    reasons: tuple[str, ...]
    #: Whether others are compared with it: of a base branch, and of no pull request.
    is_base: bool
    #: Of the change that the latest decision counts: merge base with the target branch, author of its latest commit;
    #: None where no runner recorded it.
    merge_base: str | None
    author: str | None
    #: What the gates say of the latest decision; None while the run is open, or not judged yet.
    verdict: str | None
    #: Outcome → tests; empty while the run is open.
    counts: Mapping[str, int]
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

    @property
    def complete(self) -> bool:
        """Tell whether nothing of it is missing."""
        return self.status == "completed"


@dataclass(frozen=True, kw_only=True)
class Base:
    """The run that another one is compared with."""

    #: How it was found: a run of the very commit that was wanted, of the nearest earlier one, the latest one of the
    #: base branch, or none at all.
    match: Literal["exact", "ancestor", "branch", "none"]
    #: Its id; None without one.
    run: str | None = None
    #: The decision about it that counts; 0 without one.
    revision: int = 0
    #: Commit, else branch, that is to be compared with; None when nobody set it.
    wanted: str | None = None
    #: Whether a run of the commit that is wanted is not decided yet.
    open: bool = False


@dataclass(frozen=True, kw_only=True)
class LiveProducer:
    """One producer of a run that is under way."""

    id: str
    #: Variant that it tests.
    variant: str
    #: Its shard; 0 when the tests are not split.
    shard: int
    #: CI attempt.
    attempt: int
    #: Its numbered events that are here.
    arrived: int
    #: How many it says it sent; None before it said so.
    declared: int | None
    #: When it was last heard of, by the clock of `runs`.
    heard_at: datetime
    #: Outcome → tests so far; `not_reported` are those that were collected and nothing else was heard of.
    counts: Mapping[str, int]


def find(
    connection: Connection,
    project: str | None = None,
    *,
    suite: str | None = None,
    stage: str | None = None,
    commit: str | None = None,
    branch: str | None = None,
    pull_request: str | None = None,
    is_base: bool | None = None,
    complete: bool | None = None,
    verdict: str | None = None,
    before: datetime | None = None,
    limit: int = 50,
) -> tuple[RunSummary, ...]:
    """Return the runs for which everything holds that is not None, the newest first; `before` is exclusive."""
    equal = {
        RUN.c.project: project,
        RUN.c.suite: suite,
        RUN.c.stage: stage,
        RUN.c.commit_id: commit,
        RUN.c.branch: branch,
        RUN.c.pull_request: pull_request,
        RUN.c.is_base: is_base,
        RUN.c.verdict: verdict,
    }
    conditions = [column == value for column, value in equal.items() if value is not None]
    if verdict is not None:
        # The one on its latest decision; while it is open again there is none.
        conditions.append(RUN.c.status != "open")
    if complete is not None:
        conditions.append(RUN.c.status == "completed" if complete else RUN.c.status != "completed")
    if before is not None:
        conditions.append(RUN.c.ordered_at < before.timestamp())
    query = _runs().where(*conditions).order_by(*_NEWEST_FIRST).limit(limit)
    return tuple(_summary(row) for row in connection.execute(query))


def get(connection: Connection, key: RunKey) -> RunSummary | None:
    """Return one run, None when nobody has heard of it."""
    row = connection.execute(_runs().where(*key.rows(RUN))).one_or_none()
    return None if row is None else _summary(row)


def named(connection: Connection, beginning: str, *, limit: int = 20) -> tuple[RunSummary, ...]:
    """Return the runs of this very id, or `project/id`, else those whose id begins so, the newest first."""
    this = or_(RUN.c.run == beginning, and_(*RunKey.parse(beginning).rows(RUN)))
    exact = connection.execute(_runs().where(this).order_by(*_NEWEST_FIRST)).all()
    if exact:
        return tuple(_summary(row) for row in exact)
    like = _runs().where(RUN.c.run.startswith(beginning, autoescape=True)).order_by(*_NEWEST_FIRST).limit(limit)
    # LIKE of SQLite takes upper and lower case for the same.
    return tuple(_summary(row) for row in connection.execute(like) if row.run.startswith(beginning))


def names(runs: Sequence[RunSummary]) -> list[str]:
    """Return what distinguishes runs, for people: their ids, or `project/id` where several have one."""
    same = len({one.run for one in runs}) < len(runs)
    return [str(one.key) if same else one.run for one in runs]


def base_of(connection: Connection, key: RunKey) -> Base:
    """Return the complete run to compare a run with: of the same project and suite, and of all of its variants.

    The context's `base` is taken for a commit, else for a branch, of which the latest run before this one counts; a
    run that names none is compared with its own branch.
    """
    this = connection.execute(select(RUN).where(*key.rows(RUN))).one_or_none()
    if this is None:
        return Base(match="none")
    wanted = RunContext.model_validate(this.context).base
    others = (RUN.c.project == key.project, RUN.c.suite == this.suite, RUN.c.run != key.run)
    found, is_open = None, False
    if wanted is not None:
        of_commit = (*others, RUN.c.commit_id == wanted)
        found = _latest(connection, key, *of_commit)
        still = select(RUN.c.run).where(*of_commit, RUN.c.status == "open").limit(1)
        is_open = connection.execute(still).first() is not None
    if found is not None:
        return Base(match="exact", run=found.run, revision=found.revision, wanted=wanted, open=is_open)
    branch = wanted or this.branch
    of_branch = RUN.c.branch == branch if branch else RUN.c.branch.is_(None)
    found = _latest(connection, key, *others, of_branch, RUN.c.ordered_at < this.ordered_at)
    if found is not None:
        return Base(match="branch", run=found.run, revision=found.revision, wanted=branch, open=is_open)
    return Base(match="none", wanted=branch, open=is_open)


def live(connection: Connection, key: RunKey) -> tuple[LiveProducer, ...]:
    """Return how far each producer of a run is, by variant, shard, attempt and id; reads all facts that are here."""
    order = (PRODUCER.c.variant, PRODUCER.c.shard, PRODUCER.c.attempt, PRODUCER.c.producer)
    rows = connection.execute(select(PRODUCER).where(*key.rows(PRODUCER)).order_by(*order)).all()
    return tuple(
        LiveProducer(
            id=row.producer,
            variant=row.variant,
            shard=row.shard,
            attempt=row.attempt,
            arrived=row.arrived,
            declared=row.declared,
            heard_at=datetime.fromtimestamp(row.heard_at, UTC),
            counts=_counts(connection, key, row.producer),
        )
        for row in rows
    )


#: The order of every list.
_NEWEST_FIRST: Final = (RUN.c.ordered_at.desc(), RUN.c.run, RUN.c.project)


def _latest(connection: Connection, key: RunKey, *conditions: ColumnElement[bool]) -> Any:
    """Return the newest complete run for which all holds and that tested every variant of the run `key`, or None."""
    variants = set(_variants(connection, key))
    query = select(RUN).where(*conditions, RUN.c.status == "completed").order_by(*_NEWEST_FIRST)
    rows = connection.execute(query.limit(_LOOKED_THROUGH)).all()
    return next((row for row in rows if variants <= set(_variants(connection, RunKey.of(row)))), None)


def _variants(connection: Connection, key: RunKey) -> Iterable[str]:
    return connection.execute(select(PRODUCER.c.variant).where(*key.rows(PRODUCER)).distinct()).scalars()


def _counts(connection: Connection, key: RunKey, producer: str) -> Mapping[str, int]:
    columns = part_of(kept_facts(connection, key, producer))
    counts: Mapping[str, int] = Part(columns.get).head["counts"]
    return counts


def _runs() -> Select[Any]:
    """Return the query for runs, each with when it was last heard of, and what its latest decision counts."""
    heard = select(func.max(PRODUCER.c.heard_at)).where(
        PRODUCER.c.project == RUN.c.project, PRODUCER.c.run == RUN.c.run
    )
    latest = and_(*(DECISION.c[name] == RUN.c[name] for name in ("project", "run", "revision")), RUN.c.status != "open")
    columns = (RUN, DECISION.c.summary, heard.scalar_subquery().label("heard_at"))
    return select(*columns).select_from(RUN.outerjoin(DECISION, latest))


def _summary(row: Any) -> RunSummary:
    return RunSummary(
        context=RunContext.model_validate(row.context),
        status=row.status,
        revision=row.revision,
        reasons=tuple(row.reasons),
        is_base=row.is_base,
        merge_base=row.merge_base,
        author=row.author,
        verdict=None if row.status == "open" else row.verdict,
        counts=row.summary["counts"] if row.summary else {},
        started_at=datetime.fromtimestamp(row.ordered_at, UTC),
        heard_at=datetime.fromtimestamp(row.heard_at or row.ordered_at, UTC),
    )
