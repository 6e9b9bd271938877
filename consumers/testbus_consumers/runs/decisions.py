"""Deciding about a run: whoever holds its row looks at all producers, and says that it is complete or what it lacks."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import select, update

from testbus_consumers.records import keeping
from testbus_consumers.records.keeping import Counted
from testbus_consumers.records.tables import DECISION, RUN, SHARDS
from testbus_consumers.runs import notes, producers
from testbus_consumers.runs.completeness import assess
from testbus_consumers.runtime import Done, Outcome
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import RunCompleted, RunContext, RunInterrupted, RunReopened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbus_consumers.records.keeping import Numbers
    from testbus_consumers.runs.completeness import Assessment, ProducerFacts
    from testbus_consumers.runs.settings import RunsSettings
    from testbus_consumers.runtime import State

#: Name of the timer that gives up what has not come.
DEADLINE: Final = "deadline"

#: Columns of a run that are looked at to decide: all but its context, which is as large as the rest together.
_HELD: Final = tuple(column for column in RUN.c if column is not RUN.c.context)


def lock(key: RunKey, state: State[RunsSettings], *, if_free: bool = False) -> Any:
    """Return the run's row without its context, locked to the end of the transaction; None when there is none.

    `if_free`: None as well while another transaction holds it.
    """
    return state.execute(select(*_HELD).where(*key.rows(RUN)).with_for_update(skip_locked=if_free)).one_or_none()


class Reopening(NamedTuple):
    """Why a run is looked at again that may have been decided."""

    #: What it follows from: the id of an event, or what a person asked for.
    cause: str
    #: The same for people.
    reason: str
    #: Context of the run, without what belongs to one producer only.
    context: RunContext


def context_of(run: Any, state: State[RunsSettings]) -> RunContext:
    """Return the run's own context: without what belongs to one producer only."""
    return RunContext.model_validate(state.execute(select(RUN.c.context).where(*RunKey.of(run).rows(RUN))).scalar_one())


def judge(run: Any, why: Reopening, state: State[RunsSettings]) -> Outcome:
    """Decide about a run (its locked row), which is reopened if it had been decided; or wait for what it lacks."""
    if run.status != "open":
        reopened = RunReopened(context=why.context, revision=run.revision, reason=why.reason)
        state.emit(reopened, counted=[why.cause])
        state.execute(update(RUN).where(*RunKey.of(run).rows(RUN)).values(status="open"))
    # As long as one producer may speak, no look at the others is needed: they may be thousands.
    silent_at = producers.silent_at(RunKey.of(run), state)
    now = state.now.timestamp()
    if silent_at is None or silent_at <= now:
        assessment = assessed(run, state)
        if not assessment.awaited:
            decide(run, assessment, (), state)
            return Done()
        silent_at = None if assessment.absent else silent_at
    wait(RunKey.of(run), min(now + state.settings.deadline_s, silent_at or math.inf), state)
    return Done()


def wait(key: RunKey, due: float, state: State[RunsSettings]) -> None:
    """Set the run's one timer, in place of an earlier one."""
    after = timedelta(seconds=max(0.0, due - state.now.timestamp()))
    state.schedule(DEADLINE, str(key), after=after, when_drained=True, payload=key.values)


def assessed(run: Any, state: State[RunsSettings]) -> Assessment:
    """Return what the producers of a run (its row) add up to; what of their events cannot be used is lost."""
    key = RunKey.of(run)
    found = assess(producers.known(key, state), totals(key, state))
    faults = keeping.faults(state.connection, key, {one.id for one in found.active})
    return replace(found, lost=(*found.lost, *faults)) if faults else found


def totals(key: RunKey, state: State[RunsSettings]) -> dict[str, int]:
    """Return the announced numbers of shards by variant, "" for every variant."""
    rows = state.execute(select(SHARDS).where(*key.rows(SHARDS)))
    return {row.variant: row.total for row in rows}


def decide(run: Any, assessment: Assessment, given_up: Sequence[str], state: State[RunsSettings]) -> None:
    """Say that a run (its row) is complete, or what it lacks; `given_up` is what is not waited for any more."""
    revision = run.revision + 1
    reasons = (*assessment.lost, *given_up)
    here = keeping.numbers(state.connection, RunKey.of(run))
    _publish(run, assessment, revision, reasons, state, here=here)
    state.cancel(DEADLINE, str(RunKey.of(run)))
    decided = {
        "status": _status(reasons),
        "revision": revision,
        "reasons": list(reasons),
        "verdict": notes.verdict(RunKey.of(run), revision, state),
    }
    state.execute(update(RUN).where(*RunKey.of(run).rows(RUN)).values(**decided))


def repeat(run: Any, state: State[RunsSettings]) -> bool:
    """Publish the latest decision about a run (its row) again, with what it counts now; False when it does not hold."""
    assessment = assessed(run, state)
    reasons = (*assessment.lost, *assessment.given_up)
    here = keeping.numbers(state.connection, RunKey.of(run))
    latest = select(DECISION.c.stands_on).where(*RunKey.of(run).rows(DECISION), DECISION.c.revision == run.revision)
    if state.execute(latest).scalar() != _digest(_stands_on(assessment, run.revision, reasons, here)):
        return False
    _publish(run, assessment, run.revision, reasons, state, here=here)
    return True


def _publish(
    run: Any,
    assessment: Assessment,
    revision: int,
    reasons: Sequence[str],
    state: State[RunsSettings],
    *,
    here: Mapping[str, Numbers],
) -> None:
    """Keep a decision, and publish it; `here` is what is kept of each producer."""
    key = RunKey.of(run)
    stands_on = _stands_on(assessment, revision, reasons, here)
    every = producers.known(key, state)
    summary = keeping.decide(
        state.connection,
        key,
        revision,
        [_counted(one, assessment, here) for one in every],
        decided_at=state.now,
        ordered_at=run.ordered_at,
        status=_status(reasons),
        stands_on=_digest(stands_on),
    )
    changed = {"merge_base": summary.merge_base, "author": summary.author}
    if (run.merge_base, run.author) != tuple(changed.values()):
        state.execute(update(RUN).where(*key.rows(RUN)).values(**changed))
    ended = max((one.ended_at for one in every if one.ended_at is not None), default=state.now.timestamp())
    fields = {
        "context": context_of(run, state),
        "revision": revision,
        "expected": {one.id: here[one.id].types for one in assessment.active if one.id in here},
        "superseded": assessment.superseded,
        "stopped": assessment.stopped,
        "finished_at": datetime.fromtimestamp(ended, UTC),
        "counts": summary.counts,
        "total": summary.total,
        "tests_s": summary.tests_s,
        "record": summary.ref,
    }
    data: RunInterrupted | RunCompleted = RunCompleted(**fields)
    if reasons:
        data = RunInterrupted(reasons=tuple(reasons), cancelled=assessment.cancelled, **fields)
    state.emit(data, counted=stands_on)
    notes.keep_decision(data, state)


def _counted(one: ProducerFacts, assessment: Assessment, here: Mapping[str, Numbers]) -> Counted:
    """Return a producer as a decision keeps it."""
    return Counted(
        id=one.id,
        variant=one.variant,
        shard=one.shard,
        attempt=one.attempt,
        arrived=one.arrived,
        events=here[one.id].ranges if one.id in here else "",
        counts=one.id not in assessment.superseded,
        whole=one.whole,
    )


def _stands_on(assessment: Assessment, revision: int, reasons: Sequence[str], here: Mapping[str, Numbers]) -> list[str]:
    """Return what a decision stands on: which events of whom, how each ended, and what is missing."""
    counted = ((one, here[one.id].ranges if one.id in here else "") for one in assessment.active)
    return [*(f"{one.id} {ranges} {one.status}" for one, ranges in counted), f"{revision}", *reasons]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _status(reasons: Sequence[str]) -> str:
    return "interrupted" if reasons else "completed"
