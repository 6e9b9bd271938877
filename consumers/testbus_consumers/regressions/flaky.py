"""Flaky tests: those that failed and passed on one commit, in one run or several."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from testbus_consumers.regressions.history import Case
from testbus_consumers.regressions.tables import EVIDENCE

if TYPE_CHECKING:
    from testbus_consumers.regressions.history import History, PastAttempt, Run
    from testbus_consumers.regressions.settings import RegressionsSettings
    from testbus_consumers.runtime import State

#: Commits that evidence has to come from, when the failure was shared with other tests.
_COMMITS_IF_SHARED: Final = 2


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Why a test is taken for flaky."""

    #: The earliest run in which it failed, that shows it.
    run: str
    #: What the failure said.
    failure_text: str


def note(run: Run, history: History, state: State[RegressionsSettings]) -> None:
    """Write down what a run and the others of its commit show.

    Attempts of one run count, and those of a producer that a later CI attempt replaced. A test that fails together with
    many others by the same cause shows nothing: that is an outage, of whatever they share.
    """
    same = [one for one in history.runs if one.id == run.id or (run.commit and one.commit == run.commit)]
    ours = (EVIDENCE.c.project == history.project, EVIDENCE.c.run.in_([one.id for one in same]))
    state.execute(delete(EVIDENCE).where(*ours))
    bad = list(history.attempts(same))
    together: dict[tuple[str, str], set[Case]] = defaultdict(set)
    for attempt in bad:
        together[_cause(attempt)].add(attempt.case)
    single = [attempt for attempt in bad if len(together[_cause(attempt)]) < state.settings.outage]
    passed = {
        attempt.case
        for attempt in history.attempts(same, {attempt.case for attempt in single})
        if attempt.ended.bad is False
    }
    rows = {
        (attempt.run, attempt.case): {
            "run": attempt.run,
            "variant": attempt.case.variant,
            "node_id": attempt.case.node_id,
            "project": history.project,
            "suite": history.suite,
            "on_commit": run.commit or run.id,
            "shared": len(together[_cause(attempt)]) >= state.settings.shared_failure,
            "failure_text": attempt.ended.failure_text,
        }
        for attempt in single
        if attempt.case in passed
    }
    if rows:
        state.connection.execute(EVIDENCE.insert(), list(rows.values()))


def known(history: History, state: State[RegressionsSettings]) -> dict[Case, Evidence]:
    """Return the tests that are flaky by all evidence within the history."""
    query = select(EVIDENCE).where(EVIDENCE.c.project == history.project, EVIDENCE.c.suite == history.suite)
    order = {run.id: run.order for run in history.runs}
    by_case = defaultdict(list)
    for row in state.execute(query):
        if row.run in order:
            by_case[Case(row.variant, row.node_id)].append(row)
    found = {}
    for case, rows in by_case.items():
        commits = {row.on_commit for row in rows}
        if len(commits) >= _COMMITS_IF_SHARED or not all(row.shared for row in rows):
            first = min(rows, key=lambda row: order[row.run])
            found[case] = Evidence(run=first.run, failure_text=first.failure_text)
    return found


def _cause(attempt: PastAttempt) -> tuple[str, str]:
    """Return what failures of one run have in common: the fingerprint, or nothing."""
    return attempt.run, attempt.ended.fingerprint or attempt.case.node_id
