"""Counting a run anew: what was decided holds until as much was counted again as before, and then if it still does.

A decision in the middle would be one about a part of the run; so also what comes live meanwhile is only counted.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select, update

from testbus_consumers.records import keeping
from testbus_consumers.runs import producers
from testbus_consumers.runs.completeness import assess
from testbus_consumers.runs.tables import PRODUCER, RUN, SHARDS
from testbus_consumers.store.run_key import RunKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbus_consumers.runs.completeness import Assessment
    from testbus_consumers.runs.settings import RunsSettings
    from testbus_consumers.runtime import State
    from testbus_schemas import Event, EventData

#: What a run lacks whose events were to be counted anew, when that was not brought to its end.
UNFINISHED: Final = "its events are being counted anew: repeat `testbus replay runs --recompute`"

#: What is known of a producer by its events alone, before any of them.
_NOTHING: Final[Mapping[str, Any]] = {
    "received": {},
    "declared": None,
    "status": None,
    "exit_status": None,
    "dropped": 0,
    "ended_at": None,
    "detail": None,
}


def forget(key: RunKey, state: State[RunsSettings]) -> None:
    """Count a run's events from nothing, and remember how many there were; a second time before it has all of them too.

    Announced numbers of shards stay: they are the highest that was ever said.
    """
    run = state.execute(select(RUN).where(*key.rows(RUN)).with_for_update()).one_or_none()
    if run is None:
        return
    ours = and_(*key.rows(PRODUCER))
    if run.recount is None:
        decided = digest(assessed(run, state), run.revision, run.reasons) if run.revision else ""
        state.execute(update(RUN).where(*key.rows(RUN)).values(recount=decided))
    for row in state.execute(select(PRODUCER).where(ours, PRODUCER.c.recount.is_(None))).all():
        if row.received:
            this = update(PRODUCER).where(ours, PRODUCER.c.producer == row.producer)
            state.execute(this.values(recount={"received": row.received, "silent_at": row.silent_at}))
    state.execute(update(PRODUCER).where(ours).values(**_NOTHING))
    keeping.forget(state.connection, key)
    whole = update(PRODUCER).where(ours, PRODUCER.c.standing == producers.WHOLE)
    state.execute(whole.values(standing=producers.AWAITED))
    if not _pending(key, state):
        state.execute(update(RUN).where(*key.rows(RUN)).values(recount=None))


def is_over(event: Event[EventData], state: State[RunsSettings]) -> bool:
    """Tell whether an event that was just counted was the last of those that a run had before."""
    key, origin = RunKey.of(event.data.context), event.data.producer
    if origin is not None:
        there = *key.rows(PRODUCER), PRODUCER.c.producer == origin.id
        row = state.execute(select(PRODUCER).where(*there)).one()
        if row.recount and all(row.received.get(name, 0) >= n for name, n in row.recount["received"].items()):
            # That it spoke just now, in a replay, is no sign of life.
            silent_at = row.recount["silent_at"]
            state.execute(update(PRODUCER).where(*there).values(recount=None, silent_at=silent_at))
    if _pending(key, state):
        return False
    state.execute(update(RUN).where(*key.rows(RUN)).values(recount=None))
    return True


def still_holds(run: Any, assessment: Assessment) -> bool:
    """Tell whether the latest decision about a run (its row) is what would be decided now."""
    reasons = (*assessment.lost, *assessment.awaited)
    return bool(run.status != "open" and run.recount == digest(assessment, run.revision, reasons))


def assessed(run: Any, state: State[RunsSettings]) -> Assessment:
    """Return what the producers of a run (its row) add up to; what of their events cannot be used is lost."""
    key = RunKey.of(run)
    rows = state.execute(select(SHARDS).where(*key.rows(SHARDS)))
    found = assess(producers.known(key, state), {row.variant: row.total for row in rows})
    faults = keeping.faults(state.connection, key, {one.id for one in found.active})
    return replace(found, lost=(*found.lost, *faults)) if faults else found


def facts(assessment: Assessment, revision: int, reasons: Sequence[str]) -> list[str]:
    """Return what a decision stands on."""
    return [f"{one.id} {one.arrived} {one.status}" for one in assessment.active] + [f"{revision}", *reasons]


def digest(assessment: Assessment, revision: int, reasons: Sequence[str]) -> str:
    """Return a digest of what a decision stands on."""
    return hashlib.sha256("\0".join(facts(assessment, revision, reasons)).encode()).hexdigest()


def _pending(key: RunKey, state: State[RunsSettings]) -> bool:
    query = select(PRODUCER.c.run).where(*key.rows(PRODUCER), PRODUCER.c.recount.is_not(None))
    return state.execute(query.limit(1)).scalar() is not None
