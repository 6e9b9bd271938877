"""When a run is complete for one consumer: `runs` has decided, and all that was counted has passed through here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.errors import NoRecordError
from testbus_consumers.store import deliveries, jobs, leases, progress
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import RunCompleted, RunInterrupted, decode, encode
from testbus_schemas.codec import inflate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from testbus_consumers.records.reading import Record, Records
    from testbus_consumers.runtime.consumer import Consumer
    from testbus_schemas import Event, EventData, RunContext


@dataclass(frozen=True, kw_only=True)
class Closing:
    """A run that has been decided complete or interrupted, and that this consumer has processed as far."""

    #: The run's context.
    context: RunContext
    #: Number of the decision of `runs`, from 1; a higher one replaces the lower.
    revision: int
    #: Id of the event that carried the decision.
    event_id: str
    #: Whether nothing is missing.
    complete: bool
    #: What is missing, for people.
    reasons: tuple[str, ...]
    #: Producers whose results no longer count: a higher CI attempt took their place.
    superseded: frozenset[str]
    #: Producers that a person or the CI stopped, superseded ones too: what failed there may have failed for that.
    stopped: frozenset[str] = frozenset()
    #: Whether what is missing is so because a person or the CI cancelled the run: no reason to alarm anybody.
    cancelled: bool = False
    #: Counted events per producer and type, as `runs` received them.
    expected: Mapping[str, Mapping[str, int]]
    #: When the last counted producer ended.
    finished_at: datetime
    #: Whether a replayed event led to it: then it is about the past, and people were told, or are not to be.
    replayed: bool = False
    #: Where the record is read; None where nothing is kept.
    records: Records | None = field(default=None, compare=False, repr=False)

    @cached_property
    def record(self) -> Record:
        """Return what `runs` keeps of this decision: results, causes, coverage. Raises NoRecordError."""
        if self.records is None:
            raise NoRecordError(f"no record can be read of run {self.run}")
        return self.records.open(self.context, self.revision)

    @property
    def key(self) -> RunKey:
        """Return what names the run in tables."""
        return RunKey.of(self.context)

    @property
    def run(self) -> str:
        """Return the run's id."""
        return self.context.run


def closing_of(
    event: Event[RunCompleted] | Event[RunInterrupted], missing: tuple[str, ...], *, replayed: bool = False
) -> Closing:
    """Return the closing that a decision means to one consumer.

    `missing` says what this consumer itself lacks (events it gave up or never received); with any of it the run is not
    complete for this consumer.
    """
    data = event.data
    reasons = (*(data.reasons if isinstance(data, RunInterrupted) else ()), *missing)
    return Closing(
        context=data.context,
        revision=data.revision,
        event_id=event.id,
        complete=not reasons and not isinstance(data, RunInterrupted),
        reasons=reasons,
        superseded=frozenset(data.superseded),
        stopped=frozenset(data.stopped),
        # What this consumer lacks itself was not cancelled by anybody.
        cancelled=isinstance(data, RunInterrupted) and data.cancelled and not missing,
        expected=data.expected,
        finished_at=data.finished_at,
        replayed=replayed,
    )


#: The job that calls a consumer's `on_complete`.
COMPLETE_JOB: Final = "testbus.complete"

#: The job that stops waiting for events that never come.
OVERDUE_JOB: Final = "testbus.overdue"

#: Seconds that a decision waits, with an empty queue, for events that it expects and that are not here.
OVERDUE_S: Final = 60.0

#: Seconds between two looks whether what a worker has in its hands is done, and how long that can take at most: as many
#: events as a process fetches, each for the time limit of a handler.
_IN_HAND_S: Final = 5.0
_LONGEST_IN_HAND_S: Final = 1800.0


def note(
    connection: Connection,
    consumer: Consumer,
    event: Event[EventData],
    now: float,
    *,
    dead: bool,
    was_dead: bool,
    replay: str = "",
) -> bool:
    """Count an event that was just settled, and tell whether that made a run complete here.

    Called at the end of the transaction, because it takes the run's lock. `was_dead` marks a dead letter that was
    redriven. What follows from an event of a `replay` belongs to that replay.
    """
    data = event.data
    if consumer.on_complete is None or (consumer.decides and not isinstance(data, RunCompleted | RunInterrupted)):
        return False
    key = RunKey.of(event.data.context)
    row = progress.lock_run(connection, key, now)
    lacked = row.decision is not None and row.fired == row.revision and _lacking(connection, consumer, row.decision)
    progress.count(connection, event, settled=0 if dead else 1, dead=int(dead) - int(was_dead))
    decision, revision = row.decision, row.revision
    if isinstance(data, RunCompleted | RunInterrupted) and not dead and data.revision > row.fired:
        # One that is known already was kept when the run was reset, and has come again.
        waited = {"since": now}
        jobs.schedule(connection, OVERDUE_JOB, str(key), now + OVERDUE_S, waited, when_drained=True, replay=replay)
        if data.revision > revision:
            revision = data.revision
            decision = inflate(encode(event).body, encode(event).content_encoding)
            progress.decide(connection, key, revision, decision)
    if decision is None:
        return False
    if revision == row.fired:
        # Acted upon already; and once more if that was without what this event has brought.
        again = was_dead or (lacked and not _lacking(connection, consumer, decision))
        return again and _complete(connection, key, revision, now, replay)
    return (
        not _lacking(connection, consumer, decision)
        and progress.fire(connection, key, revision)
        and _complete(connection, key, revision, now, replay)
    )


def repeat(connection: Connection, consumer: Consumer, event: Event[EventData], now: float, replay: str) -> None:
    """Act once more on the decision about a resent event's run, when the queue is empty.

    If that is before the last of its events was sent, then once more after that.
    """
    if consumer.on_complete is None:
        return
    key = RunKey.of(event.data.context)
    row = progress.lock_run(connection, key, now)
    if row.decision is not None and row.fired == row.revision:
        jobs.schedule(
            connection, COMPLETE_JOB, str(key), now, {"revision": row.revision}, when_drained=True, replay=replay
        )


def overdue(connection: Connection, key: RunKey, waited: Mapping[str, Any], now: float, replay: str = "") -> None:
    """Act on a decision although some of what it expects never came.

    What waits for a retry, or may be in a worker's hands, is still to come. `waited` is what the timer was given.
    """
    row = progress.lock_run(connection, key, now)
    later = None
    if deliveries.waiting(connection, key, now - OVERDUE_S):
        later = OVERDUE_S
    elif leases.any_held(connection, now) and now - waited["since"] < _LONGEST_IN_HAND_S:
        later = _IN_HAND_S
    if later is not None:
        jobs.schedule(connection, OVERDUE_JOB, str(key), now + later, waited, when_drained=True, replay=replay)
    elif progress.fire(connection, key, row.revision):
        _complete(connection, key, row.revision, now, replay)


def closing(
    connection: Connection, consumer: Consumer, key: RunKey, now: float, *, replayed: bool = False
) -> Closing | None:
    """Return the latest decision about the run as this consumer's closing; None before any."""
    row = progress.lock_run(connection, key, now)
    if row.decision is None:
        return None
    event = _decided(row.decision)
    lacking = progress.missing(connection, key, event.data.expected, consumer.counted)
    never = tuple(f"{n} {kind} never reached {consumer.name}" for kind, n in sorted(lacking.unseen.items()))
    given_up = tuple(
        f"{n} {kind} could not be handled: testbus dlq show {consumer.name}" for kind, n in sorted(lacking.dead.items())
    )
    return closing_of(event, (*never, *given_up), replayed=replayed)


def _lacking(connection: Connection, consumer: Consumer, decision: bytes) -> bool:
    event = _decided(decision)
    return bool(
        progress.missing(connection, RunKey.of(event.data.context), event.data.expected, consumer.counted).unseen
    )


def _complete(connection: Connection, key: RunKey, revision: int, now: float, replay: str) -> bool:
    jobs.schedule(connection, COMPLETE_JOB, str(key), now, {"revision": revision}, replay=replay)
    jobs.cancel(connection, OVERDUE_JOB, str(key))
    return True


def _decided(decision: bytes) -> Event[RunCompleted] | Event[RunInterrupted]:
    return decode(decision)  # type: ignore[return-value] # only decisions are kept
