"""Recomputing a run from its kept events: nothing is sent again, and a decision that still holds keeps its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, delete, exists, func, select, tuple_, update

from testbus_consumers.records import keeping
from testbus_consumers.records.facts import facts_of, read_body
from testbus_consumers.records.tables import ATTACHMENT, EVENT, PRODUCER, RUN
from testbus_consumers.runs import decisions, producers
from testbus_consumers.runs.decisions import Reopening
from testbus_consumers.runtime import Done, Outcome, Reject
from testbus_consumers.runtime.consumer import KeptEvents, KeptRun
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import ArtifactRecorded, ProducerFinished, ProducerStarted
from testbus_schemas.catalog import by_data

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from testbus_consumers.runs.settings import RunsSettings
    from testbus_consumers.runtime import State

#: Name of the timer that recomputes one run.
JOB: Final = "recompute"

#: Runs whose bodies one transaction deletes: each may have thousands of events.
_BATCH: Final = 20

#: Events whose bodies stay as long as their run: few and small.
_SMALL: Final = tuple(by_data(data).name for data in (ProducerStarted, ProducerFinished))

#: Tells an event that cannot be read again: its body is gone. Of attached files only the facts are kept, which hold.
_GONE: Final = EVENT.c.body.is_(None) & (EVENT.c.type != by_data(ArtifactRecorded).name)


def kept_runs(
    connection: Connection,
    *,
    since: datetime | None,
    until: datetime | None,
    run: str | None,
    project: str | None,
    kind: str | None,
) -> list[KeptRun]:
    """Return the runs of which any kept event fits: heard of since and until, of a run, a project and a type."""
    fits = [
        *((EVENT.c.recorded_at >= since.timestamp(),) if since else ()),
        *((EVENT.c.recorded_at < until.timestamp(),) if until else ()),
        *((column == value) for column, value in zip(_WANTED, (run, project, kind), strict=True) if value is not None),
    ]
    key = (EVENT.c.project, EVENT.c.run)
    gone = func.sum(case((_GONE, 1), else_=0))
    query = select(*key, func.count(), gone).group_by(*key).order_by(*key)
    found = connection.execute(query.where(tuple_(*key).in_(select(*key).where(*fits).distinct())))
    return [KeptRun(RunKey(project, run), events, not lost) for project, run, events, lost in found]


_WANTED: Final = (EVENT.c.run, EVENT.c.project, EVENT.c.type)


def recompute(payload: dict[str, Any], state: State[RunsSettings]) -> Outcome:
    """Make a run's facts and parts anew of the kept events, and judge it again."""
    key = RunKey(payload["project"], payload["run"])
    own = key.rows(PRODUCER)
    names = state.execute(select(PRODUCER.c.producer).where(*own).order_by(PRODUCER.c.producer).with_for_update())
    ids = list(names.scalars())
    run = decisions.lock(key, state)
    if run is None:
        return Done("deleted in the meantime")
    if state.execute(select(EVENT.c.producer).where(*key.rows(EVENT), _GONE).limit(1)).first():
        return Reject(f"events of run {key.run} are not kept any more (`state.keep_bodies_days`): it stays as it is")
    for producer in ids:
        _read_again(key, producer, state)
    whole = select(PRODUCER.c.producer, PRODUCER.c.arrived).where(*own, PRODUCER.c.whole.is_(True))
    for row in state.execute(whole).all():
        keeping.add_up(state.connection, key, row.producer, row.arrived)
    if run.status != "open" and decisions.repeat(run, state):
        return Done("decided as before")
    context = decisions.context_of(run, state)
    why = Reopening(cause=f"recompute {run.revision}", reason="it was recomputed", context=context)
    return decisions.judge(run, why, state)


def _read_again(key: RunKey, producer: str, state: State[RunsSettings]) -> None:
    """Make the facts of a producer's events anew, and take its producer.finished as it is understood today."""
    this = (*key.rows(EVENT), EVENT.c.producer == producer)
    query = select(EVENT.c.sequence, EVENT.c.body, EVENT.c.encoding).where(*this, EVENT.c.body.is_not(None))
    for row in state.execute(query.order_by(EVENT.c.sequence)).all():
        event = read_body(row.body, row.encoding)
        facts, fault = facts_of(event)
        state.execute(update(EVENT).where(*this, EVENT.c.sequence == row.sequence).values(facts=facts, fault=fault))
        if isinstance(event.data, ProducerFinished):
            own = update(PRODUCER).where(*key.rows(PRODUCER), PRODUCER.c.producer == producer)
            state.execute(own.values(producers.end(event)))


def delete_bodies(connection: Connection, before: float) -> bool:
    """Delete the bodies of events of a batch of runs that were not heard of since a moment; True if there may be more.

    Facts, parts and decisions stay, and what producers said of themselves: what was decided can be read as before, and
    not be recomputed any more.
    """
    own = and_(PRODUCER.c.project == RUN.c.project, PRODUCER.c.run == RUN.c.run)
    spoke = exists().where(own, PRODUCER.c.heard_at >= before)
    old = select(RUN.c.project, RUN.c.run).where(RUN.c.has_bodies.is_(True), RUN.c.ordered_at < before, ~spoke)
    rows = connection.execute(old.order_by(RUN.c.ordered_at).limit(_BATCH).with_for_update(skip_locked=True)).all()
    for key in map(RunKey.of, rows):
        old_bodies = (*key.rows(EVENT), EVENT.c.body.is_not(None), EVENT.c.type.not_in(_SMALL))
        connection.execute(update(EVENT).where(*old_bodies).values(body=None))
        connection.execute(delete(ATTACHMENT).where(*key.rows(ATTACHMENT)))
        connection.execute(update(RUN).where(*key.rows(RUN)).values(has_bodies=False))
    return len(rows) == _BATCH


#: How `runs` is recomputed.
KEEPS: Final = KeptEvents(runs=kept_runs, job=JOB, delete_bodies=delete_bodies)
