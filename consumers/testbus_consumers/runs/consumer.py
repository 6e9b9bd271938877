"""`runs`: counts every producer's events, and decides once all of a run has come, or will not come any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import Field
from sqlalchemy import select, update

from testbus_consumers.runs.completeness import Assessment, ProducerFacts, assess
from testbus_consumers.runs.tables import METADATA, PRODUCER, RUN, SHARDS
from testbus_consumers.runtime import Consumer, Done, Outcome, State, state
from testbus_consumers.settings import Section
from testbus_consumers.store.engine import insert
from testbus_schemas import (
    ArtifactRecorded,
    CoverageRecorded,
    Event,
    EventData,
    ProducerFinished,
    ProducerHeartbeat,
    ProducerStarted,
    ProducerStatus,
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


class RunsSettings(Section):
    """Section `consumers.runs`."""

    #: Seconds of silence after which a run that is not complete is given up; counted by this consumer's clock, and only
    #: while no event waits in its queue.
    deadline_s: float = Field(default=900.0, gt=0)


def note_event(event: Event[EventData], state: State[RunsSettings]) -> Outcome:
    """Count one event of a producer, and decide if it was the last that was missing."""
    run = _lock_run(event, state)
    if run.project != event.data.context.project:
        return _foreign(run)
    assessment = assess(_count(event, state), _totals(run.run, state))
    if run.status != "open" and _replaced(event, assessment):
        return Done("of an attempt that a later one replaced")
    return _judge(event, run, assessment, state)


def note_shards(event: Event[ShardsAnnounced], state: State[RunsSettings]) -> Outcome:
    """Keep how many shards there are, and decide if that was what nobody knew."""
    run = _lock_run(event, state)
    if run.project != event.data.context.project:
        return _foreign(run)
    producers, totals = _producers(run.run, state), _totals(run.run, state)
    variant = event.data.variant or ""
    total = max(event.data.total, totals.get(variant, 0))
    statement = insert(state.connection, SHARDS).values(run=run.run, variant=variant, total=total)
    keys = [SHARDS.c.run, SHARDS.c.variant]
    state.execute(statement.on_conflict_do_update(index_elements=keys, set_={"total": total}))
    assessment = assess(producers, totals | {variant: total})
    if run.status != "open" and assessment == assess(producers, totals):
        return Done("known already")
    return _judge(event, run, assessment, state)


def _foreign(run: Any) -> Outcome:
    """Pass over what another project says: run ids can be guessed, and it is not part of this run (its row)."""
    return Done(f"the run belongs to project {run.project}")


def _judge(event: Event[Any], run: Any, assessment: Assessment, state: State[RunsSettings]) -> Outcome:
    """Decide a run (its row), reopened if it had been decided; or wait for what it lacks."""
    if run.status != "open":
        context = event.data.context.model_copy(update={"shard": None})
        reason = f"{event.name} of producer {event.data.producer.id[:8] if event.data.producer else '?'} came later"
        state.emit(RunReopened(context=context, revision=run.revision, reason=reason), counted=[event.id])
        state.execute(update(RUN).where(RUN.c.run == run.run).values(status="open"))
    if assessment.awaited:
        state.schedule(
            "deadline",
            run.run,
            after=timedelta(seconds=state.settings.deadline_s),
            when_drained=True,
            payload={"run": run.run},
        )
    else:
        _decide(run, assessment, (), state)
    return Done()


def give_up(payload: dict[str, Any], state: State[RunsSettings]) -> Outcome:
    """Decide that what has not come by now will not come."""
    query = select(RUN).where(RUN.c.run == payload["run"]).with_for_update()
    run = state.execute(query).one()
    if run.status != "open":
        return Done("decided in the meantime")
    assessment = assess(_producers(run.run, state), _totals(run.run, state))
    _decide(run, assessment, assessment.awaited, state)
    return Done()


def _lock_run(event: Event[EventData], state: State[RunsSettings]) -> Any:
    """Return the run's row, made if need be and locked to the end of the transaction."""
    now = state.now.timestamp()
    context = event.data.context
    statement = insert(state.connection, RUN).values(
        run=context.run,
        project=context.project,
        # The run's own context: what belongs to one producer only is left out.
        context=context.model_copy(update={"shard": None}).model_dump(mode="json", exclude_defaults=True),
        status="open",
        revision=0,
        reasons=[],
        started_at=context.started_at.timestamp(),
        received_at=now,
    )
    statement = statement.on_conflict_do_update(index_elements=[RUN.c.run], set_={"received_at": now})
    return state.execute(statement.returning(RUN)).one()


def _count(event: Event[EventData], state: State[RunsSettings]) -> list[ProducerFacts]:
    """Add one event to its producer's row, and return all producers of the run."""
    origin = event.data.producer
    context = event.data.context
    if origin is None:
        return _producers(context.run, state)
    there = PRODUCER.c.run == context.run, PRODUCER.c.producer == origin.id
    # Of one producer only: a run of report files has one for each file.
    before = state.execute(select(PRODUCER.c.received).where(*there)).scalar_one_or_none()
    received = dict(before or {})
    if origin.sequence is not None:
        received[event.name] = received.get(event.name, 0) + 1
    values: dict[str, Any] = {"received": received}
    if isinstance(event.data, ProducerFinished):
        values |= {
            "declared": event.data.events,
            "status": event.data.status.value,
            "exit_status": event.data.exit_status,
            "dropped": event.data.dropped,
            "detail": event.data.detail,
            "ended_at": event.time.timestamp(),
        }
    if before is None:
        values |= {
            "run": context.run,
            "producer": origin.id,
            "variant": context.variant,
            "shard": context.shard_index,
            "shards": context.shard.total if context.shard else None,
            "attempt": context.attempt,
        }
        state.execute(PRODUCER.insert().values(**values))
    else:
        state.execute(update(PRODUCER).where(*there).values(**values))
    return _producers(context.run, state)


def _producers(run: str, state: State[RunsSettings]) -> list[ProducerFacts]:
    rows = state.execute(select(PRODUCER).where(PRODUCER.c.run == run))
    return [
        ProducerFacts(
            id=row.producer,
            variant=row.variant,
            shard=row.shard,
            shards=row.shards,
            attempt=row.attempt,
            received=row.received,
            declared=row.declared,
            status=ProducerStatus(row.status) if row.status else None,
            exit_status=row.exit_status,
            dropped=row.dropped,
            detail=row.detail,
        )
        for row in rows
    ]


def _totals(run: str, state: State[RunsSettings]) -> dict[str, int]:
    """Return the announced numbers of shards by variant, "" for every variant."""
    rows = state.execute(select(SHARDS).where(SHARDS.c.run == run))
    return {row.variant: row.total for row in rows}


def _replaced(event: Event[EventData], assessment: Assessment) -> bool:
    origin = event.data.producer
    return origin is None or origin.id in assessment.superseded or origin.sequence is None


def _decide(run: Any, assessment: Assessment, given_up: Sequence[str], state: State[RunsSettings]) -> None:
    """Say that a run (its row) is complete, or what it lacks."""
    revision = run.revision + 1
    reasons = (*assessment.lost, *given_up)
    ended = state.execute(select(PRODUCER.c.ended_at).where(PRODUCER.c.run == run.run)).scalars()
    last = max((moment for moment in ended if moment is not None), default=state.now.timestamp())
    closing = {
        "context": RunContext.model_validate(run.context),
        "revision": revision,
        "expected": {one.id: dict(one.received) for one in assessment.active if one.received},
        "superseded": assessment.superseded,
        "finished_at": datetime.fromtimestamp(last, UTC),
    }
    counted = [f"{one.id} {one.arrived} {one.status}" for one in assessment.active] + [f"{revision}", *reasons]
    if reasons:
        state.emit(RunInterrupted(reasons=reasons, **closing), counted=counted)
    else:
        state.emit(RunCompleted(**closing), counted=counted)
    state.cancel("deadline", run.run)
    status = "interrupted" if reasons else "completed"
    state.execute(
        update(RUN).where(RUN.c.run == run.run).values(status=status, revision=revision, reasons=list(reasons))
    )


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
    jobs={"deadline": state(give_up)},
    metadata=METADATA,
    migrations="testbus_consumers.runs.migrations",
)
