"""What `runs` keeps of each producer: counted one event at a time, at a cost that no number of producers raises."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import and_, bindparam, case, exists, func, literal, select, update

from testbus_consumers.records.tables import EVENT, NEVER, PRODUCER
from testbus_consumers.runs.completeness import ProducerFacts
from testbus_consumers.store.engine import insert_into
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import ProducerFinished, ProducerHeartbeat, ProducerStarted, ProducerStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement

    from testbus_consumers.runs.settings import RunsSettings
    from testbus_consumers.runtime import State
    from testbus_schemas import Event, EventData

#: Seconds between the heartbeats of a producer that sends some and did not say how often.
_HEARTBEAT_S: Final = 30.0

#: Heartbeats that a producer may miss, whatever the deadline: one may come late, or meet a broker that restarts.
_MISSED: Final = 2

#: What a producer says when it ends.
_END: Final = ("declared", "status", "exit_status", "dropped", "ended_at", "detail")


class Count(NamedTuple):
    """A producer after one more event."""

    #: Its numbered events so far.
    arrived: int
    #: Whether all that it numbered is here.
    whole: bool


def count(event: Event[EventData], state: State[RunsSettings]) -> Count:
    """Add one event of a producer to its row, which is locked from here to the end of the transaction."""
    origin = event.data.producer
    assert origin is not None
    kind = type(event.data) if isinstance(event.data, ProducerStarted | ProducerFinished) else None
    statement = _upsert(state.connection.dialect.name, kind)
    row = state.execute(statement, {f"new_{name}": value for name, value in _row(event, state).items()}).one()
    if row.whole and (here := _within(event, row.declared, state)) < row.declared:
        # As many came as it numbered, but not those that it numbered.
        this = (*RunKey.of(event.data.context).rows(PRODUCER), PRODUCER.c.producer == origin.id)
        state.execute(update(PRODUCER).where(*this).values(arrived=here, whole=False))
        return Count(here, whole=False)
    return Count(row.arrived, whole=row.whole)


def is_replaced(event: Event[EventData], state: State[RunsSettings]) -> bool:
    """Tell whether an event is of an attempt that a later one at the same place replaced."""
    context = event.data.context
    place = (PRODUCER.c.variant == context.variant, PRODUCER.c.shard == context.shard_index)
    later = select(PRODUCER.c.producer).where(*RunKey.of(context).rows(PRODUCER), *place)
    return state.execute(later.where(PRODUCER.c.attempt > context.attempt).limit(1)).first() is not None


def silent_at(key: RunKey, state: State[RunsSettings]) -> float | None:
    """Return when the last of the awaited producers will have been silent for too long; None when none is awaited.

    Awaited is who has not sent all, and was not replaced by a later attempt at its place.
    """
    later = PRODUCER.alias("later")
    place = and_(*(later.c[name] == PRODUCER.c[name] for name in ("project", "run", "variant", "shard")))
    replaced = exists().where(place, later.c.attempt > PRODUCER.c.attempt)
    awaited = select(PRODUCER.c.silent_at).where(*key.rows(PRODUCER), PRODUCER.c.whole.is_(False), ~replaced)
    last: float | None = state.execute(awaited.order_by(PRODUCER.c.silent_at.desc()).limit(1)).scalar()
    return last


def lock_all(key: RunKey, state: State[RunsSettings]) -> bool:
    """Lock all producers of a run; False when an event of one is being counted at this moment.

    Whoever counts holds its producer's row and may wait for the run's: so nobody who has that waits for a producer's.
    """
    free = select(PRODUCER.c.producer).where(*key.rows(PRODUCER)).with_for_update(skip_locked=True)
    there = select(func.count()).select_from(PRODUCER).where(*key.rows(PRODUCER))
    return len(state.execute(free).all()) == int(state.execute(there).scalar_one())


def heard_at(key: RunKey, state: State[RunsSettings]) -> float | None:
    """Return when any producer of a run was last heard of, in seconds since the epoch; None when none was."""
    last: float | None = state.execute(select(func.max(PRODUCER.c.heard_at)).where(*key.rows(PRODUCER))).scalar()
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
            arrived=row.arrived,
            declared=row.declared,
            status=ProducerStatus(row.status) if row.status else None,
            exit_status=row.exit_status,
            dropped=row.dropped,
            detail=row.detail,
            ended_at=row.ended_at,
            silent=row.silent_at <= now,
        )
        for row in rows
    ]


def end(event: Event[Any]) -> dict[str, Any]:
    """Return what producer.finished says, as columns of its row."""
    data = event.data
    contradiction = data.contradiction if data.status is ProducerStatus.FINISHED or data.faults else None
    return {
        "declared": data.events,
        # Whoever contradicts himself has not said how it ended.
        "status": data.status.value if contradiction is None else ProducerStatus.UNKNOWN.value,
        "exit_status": data.exit_status,
        "dropped": data.dropped,
        "ended_at": event.time.timestamp(),
        "detail": "; ".join(filter(None, (contradiction, data.detail))) or None,
    }


def _row(event: Event[EventData], state: State[RunsSettings]) -> dict[str, Any]:
    """Return the row of a producer of which nothing but this event is known."""
    context, data, origin = event.data.context, event.data, event.data.producer
    assert origin is not None
    beat = data.heartbeat_s if isinstance(data, ProducerStarted) else None
    if isinstance(data, ProducerHeartbeat):
        beat = _HEARTBEAT_S
    now, arrived = state.now.timestamp(), int(origin.sequence is not None)
    ended = dict.fromkeys(_END) | {"dropped": 0}
    if isinstance(data, ProducerFinished):
        ended = end(event)
    return {
        **RunKey.of(context).values,
        "producer": origin.id,
        "variant": context.variant,
        "shard": context.shard_index,
        "shards": context.shard.total if context.shard else None,
        "attempt": context.attempt,
        "arrived": arrived,
        **ended,
        "whole": ended["declared"] is not None and arrived >= ended["declared"],
        "heartbeat_s": beat,
        "heard_at": now,
        "silent_at": NEVER if beat is None else now + max(state.settings.producer_deadline_s, _MISSED * beat),
        "patience_s": state.settings.producer_deadline_s,
    }


@cache
def _upsert(dialect: str, kind: type[EventData] | None) -> Any:
    """Return the statement that counts an event of this kind (None: neither its first nor its last); made once."""
    values = {column.name: bindparam(f"new_{column.name}", type_=column.type) for column in PRODUCER.c}
    statement = insert_into(dialect, PRODUCER).values(values)
    new, old = statement.excluded, PRODUCER.c
    declared = new.declared if kind is ProducerFinished else old.declared
    # How often it says that it beats holds against what is usual.
    beats = (new.heartbeat_s, old.heartbeat_s) if kind is ProducerStarted else (old.heartbeat_s, new.heartbeat_s)
    beat = func.coalesce(*beats)
    patience = bindparam("new_patience_s", type_=old.silent_at.type)
    missed = case((beat * _MISSED > patience, beat * _MISSED), else_=patience)
    changed = {
        "arrived": old.arrived + new.arrived,
        "whole": _is_whole(old.arrived + new.arrived, declared),
        "heartbeat_s": beat,
        "heard_at": new.heard_at,
        "silent_at": case((beat.is_(None), literal(NEVER)), else_=new.heard_at + missed),
        **({name: new[name] for name in _END} if kind is ProducerFinished else {}),
    }
    key = list(PRODUCER.primary_key.columns)
    return statement.on_conflict_do_update(index_elements=key, set_=changed).returning(
        old.arrived, old.declared, old.whole
    )


def _is_whole(arrived: ColumnElement[int], declared: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(declared.is_not(None), arrived >= declared)


def _within(event: Event[EventData], declared: int, state: State[RunsSettings]) -> int:
    """Return how many of the numbers 1 to `declared` of an event's producer are here."""
    assert event.data.producer is not None
    own = (*RunKey.of(event.data.context).rows(EVENT), EVENT.c.producer == event.data.producer.id)
    query = select(func.count()).select_from(EVENT).where(*own, EVENT.c.sequence <= declared)
    return int(state.execute(query).scalar_one())
