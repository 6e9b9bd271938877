"""Whether a verdict is another than the one before it: of the same project, suite and branch, by start of the runs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select

from testbus_consumers.slack.tables import LATEST
from testbus_consumers.store.engine import insert
from testbus_schemas.decisions import Verdict

if TYPE_CHECKING:
    from testbus_consumers.runtime import State
    from testbus_schemas import GateEvaluated

#: How long a branch that has no runs any more is remembered.
_KEPT: Final = timedelta(days=180)


def differs(state: State[Any], data: GateEvaluated) -> bool:
    """Enter a run's verdict, and tell whether it differs from that of the run that started before it.

    The first verdict of all differs when it is not passed. One on a run that was cancelled says nothing of its branch,
    and is not entered. Of a run that started before one that is known already,
    nothing is to be told: what holds now has been.
    """
    if data.cancelled:
        return False
    context, verdict = data.context, data.verdict.value
    this = {"project": context.project, "suite": context.suite, "branch": context.branch or ""}
    started_at = context.started_at.timestamp()
    known = state.execute(
        select(LATEST).where(*(LATEST.c[name] == value for name, value in this.items()))
    ).one_or_none()
    if known is not None and known.run != context.run and known.started_at > started_at:
        return False
    before = None if known is None else known.before if known.run == context.run else known.verdict
    row = {"run": context.run, "started_at": started_at, "verdict": verdict, "before": before}
    statement = insert(state.connection, LATEST).values(**this, **row)
    state.execute(statement.on_conflict_do_update(index_elements=[LATEST.c[name] for name in this], set_=row))
    if known is None:
        state.execute(delete(LATEST).where(LATEST.c.started_at < (state.now - _KEPT).timestamp()))
    return verdict != (before or Verdict.PASSED.value)
