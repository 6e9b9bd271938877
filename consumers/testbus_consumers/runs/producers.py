"""What `runs` keeps of each producer: counted one event at a time, at a cost that no number of producers raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, select, update

from testbus_consumers.records.keeping import Counted
from testbus_consumers.runs.completeness import ProducerFacts
from testbus_consumers.runs.tables import NEVER, PRODUCER
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import ProducerFinished, ProducerHeartbeat, ProducerStarted, ProducerStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_consumers.runs.completeness import Assessment
    from testbus_consumers.runs.settings import RunsSettings
    from testbus_consumers.runtime import State
    from testbus_schemas import Event, EventData

#: What a producer still owes: something, nothing, or nothing any more because a later attempt took its place.
AWAITED: Final = "awaited"
WHOLE: Final = "whole"
SUPERSEDED: Final = "superseded"

#: Seconds between the heartbeats of a producer that sends some and did not say how often.
_HEARTBEAT_S: Final = 30.0

#: Heartbeats that a producer may miss, whatever the deadline: one may come late, or meet a broker that restarts.
_MISSED: Final = 2

_THIS: Final = (
    PRODUCER.c.project == bindparam("of_project"),
    PRODUCER.c.run == bindparam("of_run"),
    PRODUCER.c.producer == bindparam("of_producer"),
)

#: Made once: every event asks and changes its producer's row.
_KNOWN: Final = select(PRODUCER).where(*_THIS)
_CHANGED: Final = update(PRODUCER).where(*_THIS)


class Count(NamedTuple):
    """A producer after one more event."""

    #: What it still owes; None for what no producer sent.
    standing: str | None
    #: Its numbered events so far.
    arrived: int
    #: Whether it was heard of for the first time.
    is_new: bool


def count(event: Event[EventData], state: State[RunsSettings]) -> Count:
    """Add one event to its producer's row."""
    origin = event.data.producer
    if origin is None:
        return Count(None, 0, is_new=False)
    context = event.data.context
    this = {"of_project": context.project, "of_run": context.run, "of_producer": origin.id}
    before = state.execute(_KNOWN, this).one_or_none()
    values = _counted(event, before)
    if before is None:
        values |= _new(event, state)
    values |= _standing(before, values, state)
    if before is None:
        state.execute(PRODUCER.insert().values(**values))
    else:
        state.execute(_CHANGED, this | values)
    return Count(str(values["standing"]), sum(values["received"].values()), is_new=before is None)


def silent_at(key: RunKey, state: State[RunsSettings]) -> float | None:
    """Return when the last of the awaited producers will have been silent for too long; None when none is awaited."""
    awaited = select(PRODUCER.c.silent_at).where(*key.rows(PRODUCER), PRODUCER.c.standing == AWAITED)
    last: float | None = state.execute(awaited.order_by(PRODUCER.c.silent_at.desc()).limit(1)).scalar()
    return last


def known(key: RunKey, state: State[RunsSettings]) -> list[ProducerFacts]:
    """Return all producers of a run."""
    return facts(state.execute(select(PRODUCER).where(*key.rows(PRODUCER))), state.now.timestamp())


def facts(rows: Iterable[Any], now: float) -> list[ProducerFacts]:
    """Return rows of PRODUCER as facts; `now` (seconds since the epoch) tells who has fallen silent."""
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
            silent=row.silent_at <= now,
        )
        for row in rows
    ]


def counted(one: ProducerFacts, assessment: Assessment) -> Counted:
    """Return a producer as a decision keeps it."""
    return Counted(
        id=one.id,
        variant=one.variant,
        shard=one.shard,
        attempt=one.attempt,
        arrived=one.arrived,
        counts=one.id not in assessment.superseded,
        whole=one.declared is not None and one.arrived >= one.declared,
    )


def last_end(key: RunKey, state: State[RunsSettings]) -> float | None:
    """Return when the last of a run's producers ended, by its own clock; None before any."""
    ended = state.execute(select(PRODUCER.c.ended_at).where(*key.rows(PRODUCER))).scalars()
    return max((moment for moment in ended if moment is not None), default=None)


def _counted(event: Event[EventData], before: Any) -> dict[str, Any]:
    """Return what an event changes in its producer's row."""
    origin, data = event.data.producer, event.data
    received = dict(before.received) if before else {}
    if origin is not None and origin.sequence is not None:
        received[event.name] = received.get(event.name, 0) + 1
    values: dict[str, Any] = {
        "received": received,
        "declared": before.declared if before else None,
        "heartbeat_s": before.heartbeat_s if before else None,
    }
    if isinstance(data, ProducerStarted) and data.heartbeat_s is not None:
        values["heartbeat_s"] = data.heartbeat_s
    elif isinstance(data, ProducerHeartbeat) and values["heartbeat_s"] is None:
        values["heartbeat_s"] = _HEARTBEAT_S
    elif isinstance(data, ProducerFinished):
        contradiction = data.contradiction if data.status is ProducerStatus.FINISHED or data.faults else None
        values |= {
            "declared": data.events,
            # Whoever contradicts himself has not said how it ended.
            "status": data.status.value if contradiction is None else ProducerStatus.UNKNOWN.value,
            "exit_status": data.exit_status,
            "dropped": data.dropped,
            "detail": "; ".join(filter(None, (contradiction, data.detail))) or None,
            "ended_at": event.time.timestamp(),
        }
    return values


def _new(event: Event[EventData], state: State[RunsSettings]) -> dict[str, Any]:
    """Return the rest of the row of a producer that is new; those of lower attempts at its place are superseded."""
    context, origin = event.data.context, event.data.producer
    assert origin is not None
    place = (
        *RunKey.of(context).rows(PRODUCER),
        PRODUCER.c.variant == context.variant,
        PRODUCER.c.shard == context.shard_index,
    )
    attempts = select(PRODUCER.c.attempt).where(*place).order_by(PRODUCER.c.attempt.desc()).limit(1)
    highest = state.execute(attempts).scalar() or context.attempt
    if highest < context.attempt:
        lower = update(PRODUCER).where(*place, PRODUCER.c.attempt < context.attempt)
        state.execute(lower.values(standing=SUPERSEDED))
    return {
        **RunKey.of(context).values,
        "producer": origin.id,
        "variant": context.variant,
        "shard": context.shard_index,
        "shards": context.shard.total if context.shard else None,
        "attempt": context.attempt,
        "standing": SUPERSEDED if highest > context.attempt else AWAITED,
    }


def _standing(before: Any, values: dict[str, Any], state: State[RunsSettings]) -> dict[str, Any]:
    """Return what a producer owes after an event, and when it will have been silent for too long."""
    standing = before.standing if before else values["standing"]
    if standing != SUPERSEDED:
        declared = values["declared"]
        standing = WHOLE if declared is not None and sum(values["received"].values()) >= declared else AWAITED
    beat = values["heartbeat_s"]
    if beat is None:
        return {"standing": standing, "silent_at": NEVER}
    patience = max(state.settings.producer_deadline_s, _MISSED * beat)
    return {"standing": standing, "silent_at": state.now.timestamp() + patience}
