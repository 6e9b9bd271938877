"""What others derive about a run, kept beside it; and of that, what the run is looked for by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from testbus_consumers.records.facts import packed_body, read_body
from testbus_consumers.records.tables import NOTE, RUN
from testbus_consumers.runtime import Done, Outcome
from testbus_consumers.store.engine import insert_once
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import GateEvaluated
from testbus_schemas.catalog import by_data

if TYPE_CHECKING:
    from testbus_consumers.runs.settings import RunsSettings
    from testbus_consumers.runtime import State
    from testbus_schemas import Event, EventData, RunCompleted, RunInterrupted


def keep(event: Event[EventData], state: State[RunsSettings]) -> Outcome:
    """Keep a derived event about a run, once; whatever the order, the run shows the verdict on its latest decision.

    A run that is not known (any more) is not made for it.
    """
    assert state.body is not None
    key: RunKey = RunKey.of(event.data.context)
    _keep(event.data, event.id, event.time.timestamp(), state.body, state)
    if isinstance(event.data, GateEvaluated):
        judged = event.data.revision
        # Locked after the note is there: of two verdicts, or a verdict and a decision, the later one sees both.
        latest = state.execute(select(RUN.c.revision).where(*key.rows(RUN)).with_for_update()).scalar()
        if latest == judged:
            state.execute(update(RUN).where(*key.rows(RUN)).values(verdict=verdict(key, judged, state)))
    return Done()


def keep_decision(data: RunCompleted | RunInterrupted, state: State[RunsSettings]) -> None:
    """Keep what `runs` has just emitted about a run: who shows the run needs no stream then."""
    emitted = state.emitted[-1]
    _keep(data, emitted.event_id, state.now.timestamp(), (emitted.body, emitted.content_encoding), state)


def _keep(
    data: EventData, event_id: str, at: float, body: tuple[bytes, str | None], state: State[RunsSettings]
) -> None:
    packed, encoding = packed_body(*body)
    row = {
        **RunKey.of(data.context).values,
        "event_id": event_id,
        "type": by_data(type(data)).name,
        "revision": getattr(data, "revision", None),
        "recorded_at": at,
        "encoding": encoding,
        "body": packed,
    }
    state.execute(insert_once(state.connection, NOTE), row)


def verdict(key: RunKey, revision: int, state: State[RunsSettings]) -> str | None:
    """Return the latest verdict on a decision about a run, None while there is none."""
    query = select(NOTE.c.body, NOTE.c.encoding).where(
        *key.rows(NOTE), NOTE.c.type == by_data(GateEvaluated).name, NOTE.c.revision == revision
    )
    row = state.execute(query.order_by(NOTE.c.recorded_at.desc(), NOTE.c.event_id.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    data = read_body(row.body, row.encoding).data
    assert isinstance(data, GateEvaluated)
    return data.verdict.value
