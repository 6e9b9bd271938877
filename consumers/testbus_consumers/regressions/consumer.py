"""`regressions`: compares each complete run with the base branch, and reports what became worse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from testbus_consumers.regressions import flaky, settling
from testbus_consumers.regressions.alerts import Alerts
from testbus_consumers.regressions.history import History, delete_old, enter, lock_suite
from testbus_consumers.regressions.settings import RegressionsSettings
from testbus_consumers.regressions.streaks import broken_on_base, broken_on_branch
from testbus_consumers.regressions.tables import METADATA
from testbus_consumers.runtime import Consumer, Done, Outcome, RunCompletion, State, keep_until_replaced, state
from testbus_schemas import RegressionKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_consumers.regressions.flaky import Evidence
    from testbus_consumers.regressions.history import Case, Run
    from testbus_consumers.regressions.streaks import Broken


def compare(completion: RunCompletion, state: State[RegressionsSettings]) -> Outcome:
    """Enter a run into the history, and tell what that changes.

    What is found follows from the history alone: the runs in the order of their start, however they arrived.
    """
    context = completion.context
    lock_suite(completion, state)
    enter(completion, state)
    delete_old(completion, state)
    history = History(state, context.project, context.suite)
    run = next((one for one in history.runs if one.id == completion.run), None)
    if run is None:
        return Done("older than the history")
    before = {case for alert in _flaky_alerts(history, state) for case in alert}
    flaky.note(run, history, state)
    known = flaky.known(history, state)
    alerts = Alerts(state, history)
    settling.settle_flaky(alerts, history, run, known)
    for branch in _touched(run, history, everything=before != set(known)):
        _compare_line(history, branch, known, alerts, state.settings)
    return Done(f"{alerts.reported} reported" if alerts.reported else "nothing new")


def _flaky_alerts(history: History, state: State[RegressionsSettings]) -> list[frozenset[Case]]:
    return [alert.cases for alert in Alerts(state, history).open("", RegressionKind.TEST_FLAKY)]


def _touched(run: Run, history: History, *, everything: bool) -> list[str]:
    """Return the branches for which a run can change anything: its own, and those with runs after one of the base."""
    others = {one.branch for one in history.runs if everything or (run.is_base and one.order > run.order)}
    return sorted({run.branch, *others})


def _compare_line(
    history: History,
    branch: str,
    known: Mapping[Case, Evidence],
    alerts: Alerts,
    settings: RegressionsSettings,
) -> None:
    line = history.line(branch)
    if not line:
        return
    if line[-1].is_base:
        _compare_base(history, line, known, alerts, settings)
    else:
        _compare_branch(history, line[-1], known, alerts, settings)


def _compare_base(
    history: History,
    line: tuple[Run, ...],
    known: Mapping[Case, Evidence],
    alerts: Alerts,
    settings: RegressionsSettings,
) -> None:
    head = line[-1]
    suspects = history.bad(head) | history.quiet(line)
    endings = history.endings(line, suspects)
    broken = _described(history, broken_on_base(line, endings, suspects, known, settings.flaky_chance))
    settling.settle_failures(alerts, head, broken, settings.max_causes)
    settling.settle_base_coverage(alerts, line, settings)


def _described(history: History, broken: Mapping[Case, Broken]) -> dict[Case, Broken]:
    """Return what is broken with the cause of each test, and what it said first."""
    failed = history.described({case: one.since for case, one in broken.items()})
    return {case: replace(one, ended=failed.get(case, one.ended)) for case, one in broken.items()}


def _compare_branch(
    history: History, head: Run, known: Mapping[Case, Evidence], alerts: Alerts, settings: RegressionsSettings
) -> None:
    bases = _bases_of(head, history)
    if not bases:
        return
    baseline = bases[0]
    suspects = history.bad(head) - known.keys()
    endings = history.endings([head, *bases], suspects)
    broken = _described(history, broken_on_branch(head, baseline, bases, endings, suspects))
    settling.settle_failures(alerts, head, broken, settings.max_causes)
    settling.settle_branch_coverage(alerts, head, baseline, settings)


def _bases_of(head: Run, history: History) -> list[Run]:
    """Return the run that a branch's run is compared with, and the base's latest before it if that is another.

    The first is the base commit's own run where there is one. What fails in the second as well is no fault of the
    branch: it began without a commit, or the branch's CI merged the base into it.
    """
    runs = [one for one in history.runs if one.is_base and one.complete and one.branch]
    exact = [one for one in runs if head.base and one.commit == head.base]
    named = [one for one in runs if one.branch == head.base]
    before = [one for one in (named or runs) if one.order < head.order]
    return list(dict.fromkeys([*exact[-1:], *before[-1:]]))


#: What is compared, and when.
CONSUMER = Consumer(
    name="regressions",
    summary="reports newly failing and flaky tests and coverage drops, once",
    settings=RegressionsSettings,
    on_complete=state(compare),
    metadata=METADATA,
    reset_run=keep_until_replaced,
    migrations="testbus_consumers.regressions.migrations",
)
