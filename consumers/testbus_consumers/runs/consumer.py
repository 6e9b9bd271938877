"""`runs`: counts every producer's events, and decides once all of a run has come, or will not come any more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, update

from testbus_consumers.records import keeping
from testbus_consumers.records.tables import METADATA, RECORD, RUN, SHARDS
from testbus_consumers.runs import decisions, notes, overrides, producers, recomputing
from testbus_consumers.runs.completeness import assess
from testbus_consumers.runs.decisions import DEADLINE, Reopening
from testbus_consumers.runs.settings import RunsSettings
from testbus_consumers.runtime import Consumer, Done, Outcome, State, state
from testbus_consumers.store import deliveries
from testbus_consumers.store.engine import insert
from testbus_consumers.store.run_key import RunKey, rows_of_run
from testbus_schemas import (
    ArtifactRecorded,
    BenchmarksRecorded,
    ChangeRecorded,
    CoverageRecorded,
    EnvironmentRecorded,
    Event,
    EventData,
    GateEvaluated,
    IssueLinked,
    LaunchLinked,
    MetricsRecorded,
    OverrideRequested,
    ProducerFinished,
    ProducerHeartbeat,
    ProducerStarted,
    RegressionDetected,
    RegressionRecovered,
    ResultsRecorded,
    RunReopened,
    ShardsAnnounced,
    TestsCollected,
)

if TYPE_CHECKING:
    from testbus_schemas import RunContext

#: Seconds that a deadline is put off while events of the run wait for another attempt.
_RETRIED_S: Final = 60.0

#: Seconds that it is put off while an event of the run is being counted.
_SPEAKING_S: Final = 1.0

#: Bytes.
_MB: Final = 1_000_000

#: Made once: every event asks it.
_STATUS: Final = select(RUN.c.status).where(*rows_of_run(RUN))

#: What producers say of themselves: it may move the moment from which they are silent for too long.
_LIFE: Final = (ProducerStarted, ProducerHeartbeat, ProducerFinished)

#: Seconds by which a timer may be early: less than this is rounding.
_NOT_YET_S: Final = 0.001


def note_event(event: Event[EventData], state: State[RunsSettings]) -> Outcome:
    """Keep and count one event of a producer, and decide if it was the last that was missing.

    Most events lock the row of their producer only. Whoever makes a producer whole writes that before it asks for the
    run's row, and looks at the others once it has it: so of several at the same time the last one sees all.
    """
    key, origin = RunKey.of(event.data.context), event.data.producer
    if origin is None:
        run = _lock_run(event.data.context, state)
        return decisions.judge(run, _reopening(event), state) if run.status == "open" else Done("not counted")
    numbered = origin.sequence is not None
    if numbered and not keeping.keep_event(state.connection, event, state.body, now=state.now.timestamp()):
        return Done("its producer sent another event under this number before")
    if isinstance(event.data, ArtifactRecorded):
        limit = int(state.settings.attachments_mb_per_run * _MB)
        keeping.keep_attachment(state.connection, event.data, limit=limit)
    counted = producers.count(event, state)
    status = state.execute(_STATUS, key.values).scalar()
    is_new = counted.arrived <= 1
    if status == "open" and not is_new and not counted.whole and not isinstance(event.data, _LIFE):
        # The timer looks for itself whether anybody still speaks.
        return Done()
    if numbered and counted.whole:
        keeping.add_up(state.connection, key, origin.id, counted.arrived)
    run = _lock_run(event.data.context, state)
    if run.status != "open":
        if producers.is_replaced(event, state):
            return Done("of an attempt that a later one replaced")
        if not numbered:
            return Done("not counted")
    return decisions.judge(run, _reopening(event), state)


def note_shards(event: Event[ShardsAnnounced], state: State[RunsSettings]) -> Outcome:
    """Keep how many shards there are, and decide if that was what nobody knew."""
    run = _lock_run(event.data.context, state)
    key = RunKey.of(run)
    known, totals = producers.known(key, state), decisions.totals(key, state)
    variant = event.data.variant or ""
    total = max(event.data.total, totals.get(variant, 0))
    announced = {"total": total, "heard_at": state.now.timestamp()}
    statement = insert(state.connection, SHARDS).values(**key.values, variant=variant, **announced)
    keys = [SHARDS.c.project, SHARDS.c.run, SHARDS.c.variant]
    state.execute(statement.on_conflict_do_update(index_elements=keys, set_=announced))
    if run.status != "open" and assess(known, totals | {variant: total}) == assess(known, totals):
        return Done("known already")
    return decisions.judge(run, _reopening(event), state)


def give_up(payload: dict[str, Any], state: State[RunsSettings]) -> Outcome:
    """Decide that what has not come by now will not come, unless somebody has spoken since the timer was set.

    This holds the timer's row, which whoever holds the run's may wait for: so it waits for nobody.
    """
    key, now = RunKey(payload["project"], payload["run"]), state.now.timestamp()
    status = state.execute(_STATUS, key.values).scalar()
    if status is None:
        return Done("deleted in the meantime")
    run = decisions.lock(key, state, if_free=True)
    if run is None or not producers.lock_all(key, state):
        decisions.wait(key, now + _SPEAKING_S, state)
        return Done("an event of the run is being counted")
    if run.status != "open":
        return Done("decided in the meantime")
    assessment = decisions.assessed(run, state)
    silent_at = None if assessment.absent else producers.silent_at(key, state)
    due = min(_heard_at(key, state) + state.settings.deadline_s, silent_at or math.inf)
    if due > now + _NOT_YET_S:
        decisions.wait(key, due, state)
        return Done("not silent for long enough")
    if deliveries.waiting(state.connection, key, now - _RETRIED_S):
        # They came, and could not be counted yet: that is no silence.
        decisions.wait(key, now + _RETRIED_S, state)
        return Done("events of the run are retried")
    decisions.decide(run, assessment, assessment.given_up, state)
    return Done()


def _heard_at(key: RunKey, state: State[RunsSettings]) -> float:
    """Return when anybody last spoke of a run, in seconds since the epoch."""
    announced = state.execute(select(func.max(SHARDS.c.heard_at)).where(*key.rows(SHARDS))).scalar()
    return max(producers.heard_at(key, state) or 0.0, announced or 0.0)


def _lock_run(context: RunContext, state: State[RunsSettings]) -> Any:
    """Return the run's row without its context, made if need be and locked to the end of the transaction."""
    key, now, began = RunKey.of(context), state.now.timestamp(), context.started_at.timestamp()
    run = decisions.lock(key, state)
    if run is None:
        statement = insert(state.connection, RUN).values(
            **key.values,
            # The run's own context: what belongs to one producer only is left out.
            context=context.model_copy(update={"shard": None}).model_dump(mode="json", exclude_defaults=True),
            suite=context.suite,
            stage=context.stage,
            branch=context.branch,
            commit_id=context.commit,
            pull_request=context.pull_request,
            is_base=state.settings.is_base(context),
            has_bodies=True,
            status="open",
            revision=0,
            reasons=[],
            ordered_at=min(began, now),
        )
        state.execute(statement.on_conflict_do_nothing())
        run = decisions.lock(key, state)
    if began < run.ordered_at:
        state.execute(update(RUN).where(*key.rows(RUN)).values(ordered_at=began))
        run = decisions.lock(key, state)
    return run


def _reopening(event: Event[Any]) -> Reopening:
    producer = event.data.producer.id[:8] if event.data.producer else "?"
    context = event.data.context.model_copy(update={"shard": None})
    return Reopening(cause=event.id, reason=f"{event.name} of producer {producer} came later", context=context)


#: Everything that a producer sends is counted here, and what others derive of it is kept beside it.
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
        ChangeRecorded: state(note_event),
        EnvironmentRecorded: state(note_event),
        MetricsRecorded: state(note_event),
        BenchmarksRecorded: state(note_event),
        ShardsAnnounced: state(note_shards),
        RunReopened: state(notes.keep),
        GateEvaluated: state(notes.keep),
        RegressionDetected: state(notes.keep),
        RegressionRecovered: state(notes.keep),
        IssueLinked: state(notes.keep),
        LaunchLinked: state(notes.keep),
        OverrideRequested: state(overrides.request),
    },
    jobs={
        DEADLINE: state(give_up),
        recomputing.JOB: state(recomputing.recompute),
        overrides.REVIEW: state(overrides.review),
    },
    metadata=METADATA,
    by_run=RECORD,
    keeps=recomputing.KEEPS,
    migrations="testbus_consumers.runs.migrations",
)
