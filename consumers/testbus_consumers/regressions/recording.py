"""Which runs are kept: a run is entered when it was decided, and forgotten when it is out of the history's reach."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select

from testbus_consumers.globs import matches_name
from testbus_consumers.records.coverage import covered, within
from testbus_consumers.regressions.history import is_bad
from testbus_consumers.regressions.tables import ALERT, ATTEMPT, ENDS, EVIDENCE, NAMES, RUN, SUITE
from testbus_consumers.store.engine import insert
from testbus_consumers.wording import text

if TYPE_CHECKING:
    from testbus_consumers.records.reading import Record
    from testbus_consumers.regressions.settings import RegressionsSettings
    from testbus_consumers.runtime import Closing, State
    from testbus_schemas import RunContext

#: Characters of what a failure said that are kept.
_SAID_CHARS: Final = 200


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
    context, record = closing.context, closing.record
    row = {
        **closing.key.values,
        "suite": context.suite,
        "branch": branch_of(context, state.settings),
        "is_base": is_base(context, state.settings),
        "commit_id": context.commit,
        "base": context.base,
        "ordered_at": record.ordered_at.timestamp(),
        "complete": closing.complete,
        "variants": sorted({one.variant for one in record.producers if one.counts}),
        "measured": sorted({f"{one.variant} {one.shard}" for one in record.measured()}) or None,
        "covered": _covered(record, state.settings),
        "context": context.model_dump(mode="json", exclude_defaults=True),
    }
    statement = insert(state.connection, RUN).values(**row)
    state.execute(statement.on_conflict_do_update(index_elements=[RUN.c.project, RUN.c.run], set_=row))
    for table in (ENDS, ATTEMPT):
        state.execute(delete(table).where(*closing.key.rows(table)))
    _enter_tests(closing, state)


def _enter_tests(closing: Closing, state: State[RegressionsSettings]) -> None:
    """Write down how tests ended: also in producers that were replaced, which tell of flakiness.

    A job that is stopped takes the tests down that it was running: that shows nothing, also not that they are flaky.
    """
    of_run = closing.key.values
    of_suite = {"project": closing.context.project, "suite": closing.context.suite}
    names, ends = {}, []
    for producer, name_column, end_column in closing.record.names(replaced=True):
        if producer.id not in closing.stopped:
            digest = hashlib.sha256(name_column).hexdigest()
            names[digest] = of_suite | {"digest": digest, "content": name_column}
            ends.append(
                of_run
                | {
                    "producer": producer.id,
                    "suite": closing.context.suite,
                    "variant": producer.variant,
                    "counts": producer.counts,
                    "names": digest,
                    "content": end_column,
                }
            )
    attempts = [
        of_run
        | {
            "producer": one.producer,
            "node_id": one.node_id,
            "attempt": one.attempt,
            "bad": is_bad(one.outcome),
            "fingerprint": one.fingerprint if one.outcome.bad else "",
            "said": text.said(one.type, one.line, _SAID_CHARS) if one.outcome.bad else "",
        }
        for one in closing.record.attempts(replaced=True)
        if one.attempt and one.producer not in closing.stopped
    ]
    connection = state.connection
    if ends:
        connection.execute(insert(connection, NAMES).on_conflict_do_nothing(), list(names.values()))
        connection.execute(ENDS.insert(), ends)
    if attempts:
        connection.execute(ATTEMPT.insert(), attempts)


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
    project, suite = closing.context.project, closing.context.suite
    ours = (RUN.c.project == project, RUN.c.suite == suite)
    newest = select(RUN.c.run, RUN.c.branch, RUN.c.is_base).where(*ours)
    runs = state.execute(newest.order_by(RUN.c.ordered_at.desc(), RUN.c.run.desc())).all()
    seen: Counter[str | None] = Counter()
    gone: list[Any] = []
    kept: list[Any] = []
    for run in runs:
        line = run.branch if run.is_base else None
        seen[line] += 1
        (gone if seen[line] > state.settings.history else kept).append(run)
    ids = [run.run for run in gone]
    for table in (ATTEMPT, ENDS, EVIDENCE, RUN):
        state.execute(delete(table).where(table.c.project == project, table.c.run.in_(ids)))
    # A run that was decided again may have other tests, too.
    used = select(ENDS.c.names).where(ENDS.c.project == project, ENDS.c.suite == suite)
    of_suite = (NAMES.c.project == project, NAMES.c.suite == suite)
    state.execute(delete(NAMES).where(*of_suite, NAMES.c.digest.not_in(used)))
    if gone:
        told = (ALERT.c.project == project, ALERT.c.suite == suite)
        over = ALERT.c.is_open.is_(False) & ALERT.c.since.not_in([run.run for run in kept])
        branches = {"", *(run.branch for run in kept)}
        state.execute(delete(ALERT).where(*told, over | ALERT.c.branch.not_in(sorted(branches))))


def _covered(record: Record, settings: RegressionsSettings) -> dict[str, tuple[int, int]]:
    """Return what ran and could have of each component that has a file."""
    files = record.coverage(settings.coverage.rules)
    by_component = {name: within(files, globs) for name, globs in settings.components.items()}
    return {name: covered(found).total for name, found in by_component.items() if found}
