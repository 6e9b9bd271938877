"""Which runs are kept: a run is entered when it was decided, and forgotten when it is out of the history's reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select, update

from testbus_consumers.globs import matches_name
from testbus_consumers.records.coverage import covered, merge_coverage, within
from testbus_consumers.regressions.tables import ALERT, COVERAGE, EVIDENCE, PRODUCER, RESULT, RUN, SUITE
from testbus_consumers.store.engine import insert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_consumers.regressions.settings import RegressionsSettings
    from testbus_consumers.runtime import Closing, State
    from testbus_schemas import RunContext

#: Runs of a suite whose line sets are kept, for a decision that is made again; later only their sums.
_RUNS_WITH_LINES: Final = 5


def lock_suite(closing: Closing, state: State[Any]) -> None:
    """Hold the suite to the end of the transaction: its runs are compared one after the other."""
    row = {
        "project": closing.context.project,
        "suite": closing.context.suite,
        "compared_at": state.now.timestamp(),
    }
    statement = insert(state.connection, SUITE).values(**row)
    keys = [SUITE.c.project, SUITE.c.suite]
    state.execute(statement.on_conflict_do_update(index_elements=keys, set_={"compared_at": row["compared_at"]}))


def enter(closing: Closing, state: State[RegressionsSettings]) -> None:
    """Write down a run, or what a later decision made of it."""
    context = closing.context
    known = state.execute(select(RUN.c.has_lines).where(RUN.c.run == closing.run)).scalar()
    has_lines = known is None or known or state.recomputed
    ours = (PRODUCER.c.run == closing.run, PRODUCER.c.project == context.project)
    producers = state.execute(select(PRODUCER).where(*ours)).all()
    counted = [one for one in producers if one.producer not in closing.superseded]
    started = [one.started_at for one in producers]
    # A job that is stopped takes the tests down that it was running: that shows nothing, also not that they are flaky.
    stopped = RESULT.c.producer.in_(sorted(closing.stopped))
    state.execute(delete(RESULT).where(RESULT.c.run == closing.run, stopped))
    measured, sums = _coverage(closing, state, counted) if has_lines else (None, {})
    row = {
        "run": closing.run,
        "project": context.project,
        "suite": context.suite,
        "branch": branch_of(context, state.settings),
        "is_base": is_base(context, state.settings),
        "commit_id": context.commit,
        "base": context.base,
        "started_at": min(started, default=context.started_at.timestamp()),
        "complete": closing.complete,
        "superseded": sorted(closing.superseded),
        "variants": sorted({one.variant for one in counted}),
        "measured": measured,
        "covered": sums,
        "has_lines": has_lines,
        "context": context.model_dump(mode="json", exclude_defaults=True),
    }
    statement = insert(state.connection, RUN).values(**row)
    # Without its line sets nothing new can be said of a run's coverage: the sums stay.
    changed = row if has_lines else {name: value for name, value in row.items() if name not in {"measured", "covered"}}
    state.execute(statement.on_conflict_do_update(index_elements=[RUN.c.run], set_=changed))


def recompute(run: str, state: State[RegressionsSettings]) -> None:
    """Make a run ready for its events to come again.

    It stays in the history as it is, or other runs would be compared with a part of it: its results are replaced one by
    one. Line sets, which it may have no more, are gathered anew, and kept whatever its age until they are added up.
    """
    state.execute(delete(COVERAGE).where(COVERAGE.c.run == run))
    state.execute(update(RUN).where(RUN.c.run == run).values(has_lines=False))


def branch_of(context: RunContext, settings: RegressionsSettings) -> str:
    """Return the line of runs that a run belongs to: its branch, else its pull request, else the nameless one.

    A fork's pull request may well come from a branch that is called like ours.
    """
    if context.pull_request and (not context.branch or matches_name(context.branch, settings.base_branches)):
        return f"#{context.pull_request}"
    return context.branch or ""


def is_base(context: RunContext, settings: RegressionsSettings) -> bool:
    """Tell whether other runs are compared with this one; runs that name no branch are compared with each other."""
    if context.pull_request:
        return False
    return not context.branch or matches_name(context.branch, settings.base_branches)


def forget(closing: Closing, state: State[RegressionsSettings]) -> None:
    """Delete what is out of reach: on each base branch, and of all other branches together, all but the newest runs."""
    ours = (RUN.c.project == closing.context.project, RUN.c.suite == closing.context.suite)
    newest = select(RUN).where(*ours).order_by(RUN.c.started_at.desc(), RUN.c.run.desc())
    runs = state.execute(newest).all()
    seen: dict[str | None, int] = {}
    gone = []
    for run in runs:
        line = run.branch if run.is_base else None
        seen[line] = seen.get(line, 0) + 1
        if seen[line] > state.settings.history:
            gone.append(run.run)
    for table in (RESULT, PRODUCER, COVERAGE, EVIDENCE, RUN):
        state.execute(delete(table).where(table.c.run.in_(gone)))
    kept = [run for run in runs if run.run not in set(gone)]
    if summed := [run.run for run in kept[_RUNS_WITH_LINES:] if run.has_lines]:
        state.execute(delete(COVERAGE).where(COVERAGE.c.run.in_(summed)))
        state.execute(update(RUN).where(RUN.c.run.in_(summed)).values(has_lines=False))
    if gone:
        told = (ALERT.c.project == closing.context.project, ALERT.c.suite == closing.context.suite)
        over = ALERT.c.is_open.is_(False) & ALERT.c.since.not_in([run.run for run in kept])
        branches = {"", *(run.branch for run in kept)}
        state.execute(delete(ALERT).where(*told, over | ALERT.c.branch.not_in(sorted(branches))))


def _coverage(
    closing: Closing, state: State[RegressionsSettings], counted: Iterable[Any]
) -> tuple[list[str] | None, dict[str, tuple[int, int]]]:
    """Return who measured, and what ran and could have of each component that has a file."""
    places = {one.producer: f"{one.variant} {one.shard}" for one in counted}
    rows = state.execute(select(COVERAGE).where(COVERAGE.c.run == closing.run)).mappings()
    rows_counted = [dict(row) for row in rows if row["producer"] in places]
    if not rows_counted:
        return None, {}
    files = merge_coverage(rows_counted, state.settings.coverage.rules)
    by_component = {name: within(files, globs) for name, globs in state.settings.components.items()}
    sums = {name: covered(found).total for name, found in by_component.items() if found}
    return sorted({places[row["producer"]] for row in rows_counted}), sums
