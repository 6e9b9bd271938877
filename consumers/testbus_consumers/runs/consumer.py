"""`runs`: counts every producer's events, and decides once all of a run has come, or will not come any more."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, case, select, update

from testbus_consumers.records import keeping
from testbus_consumers.records.tables import METADATA, RECORD
from testbus_consumers.runs import producers, recount
from testbus_consumers.runs.completeness import Assessment, assess
from testbus_consumers.runs.settings import RunsSettings
from testbus_consumers.runs.tables import PRODUCER, RUN, SHARDS
from testbus_consumers.runtime import Consumer, Done, Outcome, State, state
from testbus_consumers.store import deliveries
from testbus_consumers.store.engine import insert
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import (
    ArtifactRecorded,
    CoverageRecorded,
    Event,
    EventData,
    ProducerFinished,
    ProducerHeartbeat,
    ProducerStarted,
    ResultsRecorded,
    RunCompleted,
    RunContext,
    RunInterrupted,
    RunReopened,
    ShardsAnnounced,
    TestsCollected,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Name of the timer that gives up what has not come.
DEADLINE: Final = "deadline"

#: Seconds that a deadline is put off while events of the run wait for another attempt.
_RETRIED_S: Final = 60.0

#: What the ledger says of an event that was counted anew, and others are still to be.
_COUNTED_ANEW: Final = "counted anew"

#: Columns of a run that every event looks at: all but its context, which is as large as the rest together.
_HELD: Final = tuple(column for column in RUN.c if column is not RUN.c.context)

#: That a run is heard of, which every event says: made once.
_HEARD: Final = (
    update(RUN)
    .where(RUN.c.project == bindparam("of_project"), RUN.c.run == bindparam("of_run"))
    .values(
        received_at=bindparam("now"),
        ordered_at=case((RUN.c.ordered_at > bindparam("began"), bindparam("began")), else_=RUN.c.ordered_at),
    )
    .returning(*_HELD)
)

#: What producers say of themselves: it may move the moment from which they are silent for too long.
_LIFE: Final = frozenset({ProducerStarted, ProducerHeartbeat, ProducerFinished})

#: Seconds by which a timer may be early: less than this is rounding.
_NOT_YET_S: Final = 0.001


def note_event(event: Event[EventData], state: State[RunsSettings]) -> Outcome:
    """Keep and count one event of a producer, and decide if it was the last that was missing."""
    run = _lock_run(event, state)
    origin = event.data.producer
    numbered = origin is not None and origin.sequence is not None
    if numbered and not keeping.keep_event(state.connection, event, state.body, now=state.now.timestamp()):
        return Done("its producer sent another event under this number before")
    counted = producers.count(event, state)
    if numbered and counted.standing == producers.WHOLE:
        assert origin is not None
        keeping.add_up(state.connection, RunKey.of(run), origin.id, counted.arrived)
    if run.recount is not None:
        return _recounted(event, run, state)
    if run.status == "open":
        goes_on = counted.standing == producers.AWAITED and not counted.is_new and type(event.data) not in _LIFE
        # The timer looks for itself whether anybody still speaks.
        return Done() if goes_on else _judge(event, run, state)
    if counted.standing == producers.SUPERSEDED:
        return Done("of an attempt that a later one replaced")
    return _judge(event, run, state) if numbered else Done("not counted")


def note_shards(event: Event[ShardsAnnounced], state: State[RunsSettings]) -> Outcome:
    """Keep how many shards there are, and decide if that was what nobody knew."""
    run = _lock_run(event, state)
    known, totals = producers.known(RunKey.of(run), state), _totals(RunKey.of(run), state)
    variant = event.data.variant or ""
    total = max(event.data.total, totals.get(variant, 0))
    statement = insert(state.connection, SHARDS).values(**RunKey.of(run).values, variant=variant, total=total)
    keys = [SHARDS.c.project, SHARDS.c.run, SHARDS.c.variant]
    state.execute(statement.on_conflict_do_update(index_elements=keys, set_={"total": total}))
    if run.recount is not None:
        return Done(_COUNTED_ANEW)
    if run.status != "open" and assess(known, totals | {variant: total}) == assess(known, totals):
        return Done("known already")
    return _judge(event, run, state)


def _recounted(event: Event[EventData], run: Any, state: State[RunsSettings]) -> Outcome:
    """Judge a run (its row) that is counted anew, once everything that it had is there again."""
    if not recount.is_over(event, state):
        return Done(_COUNTED_ANEW)
    assessment = recount.assessed(run, state)
    if not recount.still_holds(run, assessment):
        return _judge(event, run, state)
    _tell(run, assessment, run.revision, run.reasons, state)
    return Done("decided as before")


def _judge(event: Event[Any], run: Any, state: State[RunsSettings]) -> Outcome:
    """Decide a run (its row), reopened if it had been decided; or wait for what it lacks."""
    if run.status != "open":
        context = event.data.context.model_copy(update={"shard": None})
        reason = f"{event.name} of producer {event.data.producer.id[:8] if event.data.producer else '?'} came later"
        state.emit(RunReopened(context=context, revision=run.revision, reason=reason), counted=[event.id])
        state.execute(update(RUN).where(*RunKey.of(run).rows(RUN)).values(status="open"))
    # As long as one producer may speak, no look at the others is needed: they may be thousands.
    silent_at = producers.silent_at(RunKey.of(run), state)
    now = state.now.timestamp()
    if silent_at is None or silent_at <= now:
        assessment = recount.assessed(run, state)
        if not assessment.awaited:
            _decide(run, assessment, (), state)
            return Done()
        silent_at = None if assessment.absent else silent_at
    _wait(run, min(now + state.settings.deadline_s, silent_at or math.inf), state)
    return Done()


def give_up(payload: dict[str, Any], state: State[RunsSettings]) -> Outcome:
    """Decide that what has not come by now will not come, unless somebody has spoken since the timer was set."""
    query = select(RUN).where(*RunKey(payload["project"], payload["run"]).rows(RUN)).with_for_update()
    run = state.execute(query).one_or_none()
    if run is None or run.status != "open":
        return Done("decided in the meantime")
    assessment = recount.assessed(run, state)
    silent_at = None if assessment.absent else producers.silent_at(RunKey.of(run), state)
    now = state.now.timestamp()
    due = min(run.received_at + state.settings.deadline_s, silent_at or math.inf)
    if due > now + _NOT_YET_S:
        _wait(run, due, state)
        return Done("not silent for long enough")
    if deliveries.waiting(state.connection, RunKey.of(run), now - _RETRIED_S):
        # They came, and could not be counted yet: that is no silence.
        _wait(run, now + _RETRIED_S, state)
        return Done("events of the run are retried")
    _decide(run, assessment, assessment.awaited if run.recount is None else (recount.UNFINISHED,), state)
    return Done()


def _wait(run: Any, due: float, state: State[RunsSettings]) -> None:
    """Set the run's one timer, in place of an earlier one."""
    after = timedelta(seconds=max(0.0, due - state.now.timestamp()))
    key = RunKey.of(run)
    state.schedule(DEADLINE, str(key), after=after, when_drained=True, payload=key.values)


def _lock_run(event: Event[EventData], state: State[RunsSettings]) -> Any:
    """Return the run's row without its context, made if need be and locked to the end of the transaction."""
    context = event.data.context
    now, began = state.now.timestamp(), context.started_at.timestamp()
    heard = {"of_project": context.project, "of_run": context.run, "now": now, "began": began}
    if (row := state.execute(_HEARD, heard).one_or_none()) is not None:
        return row
    statement = insert(state.connection, RUN).values(
        **RunKey.of(context).values,
        # The run's own context: what belongs to one producer only is left out.
        context=context.model_copy(update={"shard": None}).model_dump(mode="json", exclude_defaults=True),
        suite=context.suite,
        stage=context.stage,
        branch=context.branch,
        commit_id=context.commit,
        pull_request=context.pull_request,
        status="open",
        revision=0,
        reasons=[],
        ordered_at=min(began, now),
        received_at=now,
    )
    state.execute(statement.on_conflict_do_nothing())
    return state.execute(_HEARD, heard).one()


def _totals(key: RunKey, state: State[RunsSettings]) -> dict[str, int]:
    """Return the announced numbers of shards by variant, "" for every variant."""
    rows = state.execute(select(SHARDS).where(*key.rows(SHARDS)))
    return {row.variant: row.total for row in rows}


def _decide(run: Any, assessment: Assessment, given_up: Sequence[str], state: State[RunsSettings]) -> None:
    """Say that a run (its row) is complete, or what it lacks."""
    revision = run.revision + 1
    reasons = (*assessment.lost, *given_up)
    _tell(run, assessment, revision, reasons, state)
    state.cancel(DEADLINE, str(RunKey.of(run)))
    decided = {"status": _status(reasons), "revision": revision, "reasons": list(reasons)}
    state.execute(update(RUN).where(*RunKey.of(run).rows(RUN)).values(**decided))


def _status(reasons: Sequence[str]) -> str:
    return "interrupted" if reasons else "completed"


def _tell(run: Any, assessment: Assessment, revision: int, reasons: Sequence[str], state: State[RunsSettings]) -> None:
    """Publish a decision."""
    last = producers.last_end(RunKey.of(run), state) or state.now.timestamp()
    summary = keeping.decide(
        state.connection,
        RunKey.of(run),
        revision,
        [producers.counted(one, assessment) for one in producers.known(RunKey.of(run), state)],
        decided_at=state.now,
        ordered_at=run.ordered_at,
        status=_status(reasons),
    )
    context = state.execute(select(RUN.c.context).where(*RunKey.of(run).rows(RUN))).scalar_one()
    closing = {
        "context": RunContext.model_validate(context),
        "revision": revision,
        "expected": {one.id: dict(one.received) for one in assessment.active if one.received},
        "superseded": assessment.superseded,
        "stopped": assessment.stopped,
        "finished_at": datetime.fromtimestamp(last, UTC),
        "counts": summary.counts,
        "total": summary.total,
        "tests_s": summary.tests_s,
        "record": summary.ref,
    }
    counted = recount.facts(assessment, revision, reasons)
    if reasons:
        data = RunInterrupted(reasons=tuple(reasons), cancelled=assessment.cancelled, **closing)
        state.emit(data, counted=counted)
    else:
        state.emit(RunCompleted(**closing), counted=counted)


#: Everything that a producer sends is counted here.
CONSUMER = Consumer(
    name="runs",
    summary="decides when a run is complete",
    settings=RunsSettings,
    handlers={
        ProducerStarted: state(note_event),
        ProducerHeartbeat: state(note_event),
        ProducerFinished: state(note_event),
        TestsCollected: state(note_event),
        ResultsRecorded: state(note_event),
        CoverageRecorded: state(note_event),
        ArtifactRecorded: state(note_event),
        ShardsAnnounced: state(note_shards),
    },
    jobs={DEADLINE: state(give_up)},
    metadata=METADATA,
    by_run=(RUN, PRODUCER, SHARDS, *RECORD),
    forget=recount.forget,
    migrations="testbus_consumers.runs.migrations",
)
