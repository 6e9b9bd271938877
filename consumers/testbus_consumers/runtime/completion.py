"""When a run is complete for one consumer: `runs` has decided, and all that was counted has passed through here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_consumers.runtime.closing import Closing, closing_of
from testbus_consumers.store import deliveries, jobs, progress
from testbus_schemas import RunCompleted, RunInterrupted, decode, encode
from testbus_schemas.codec import inflate

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from testbus_consumers.runtime.consumer import Consumer
    from testbus_schemas import Event, EventData

#: The job that calls a consumer's `on_complete`.
COMPLETE_JOB: Final = "testbus.complete"

#: The job that stops waiting for events that never come.
OVERDUE_JOB: Final = "testbus.overdue"

#: Seconds that a decision waits, with an empty queue, for events that it expects and that are not here.
OVERDUE_S: Final = 60.0


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
    if consumer.on_complete is None:
        return False
    run = event.data.context.run
    row = progress.lock_run(connection, run, now)
    lacked = row.decision is not None and row.fired == row.revision and _lacking(connection, consumer, row.decision)
    progress.count(connection, event, settled=0 if dead else 1, dead=int(dead) - int(was_dead))
    decision, revision = row.decision, row.revision
    if isinstance(event.data, RunCompleted | RunInterrupted) and not dead and event.data.revision > row.fired:
        # One that is known already was kept when the run was reset, and has come again.
        jobs.schedule(connection, OVERDUE_JOB, run, now + OVERDUE_S, {}, when_drained=True, replay=replay)
        if event.data.revision > revision:
            revision = event.data.revision
            decision = inflate(encode(event).body, encode(event).content_encoding)
            progress.decide(connection, run, revision, decision)
    if decision is None:
        return False
    if revision == row.fired:
        # Acted upon already; and once more if that was without what this event has brought.
        again = was_dead or (lacked and not _lacking(connection, consumer, decision))
        return again and _complete(connection, run, revision, now, replay)
    return (
        not _lacking(connection, consumer, decision)
        and progress.fire(connection, run, revision)
        and _complete(connection, run, revision, now, replay)
    )


def repeat(connection: Connection, consumer: Consumer, event: Event[EventData], now: float, replay: str) -> None:
    """Act once more on the decision about a resent event's run, when the queue is empty.

    If that is before the last of its events was sent, then once more after that.
    """
    if consumer.on_complete is None:
        return
    run = event.data.context.run
    row = progress.lock_run(connection, run, now)
    if row.decision is not None and row.fired == row.revision:
        jobs.schedule(connection, COMPLETE_JOB, run, now, {"revision": row.revision}, when_drained=True, replay=replay)


def overdue(connection: Connection, run: str, now: float, replay: str = "") -> None:
    """Act on a decision although some of what it expects never came; what waits for a retry is still to come."""
    row = progress.lock_run(connection, run, now)
    if deliveries.waiting(connection, run, now - OVERDUE_S):
        jobs.schedule(connection, OVERDUE_JOB, run, now + OVERDUE_S, {}, when_drained=True, replay=replay)
    elif progress.fire(connection, run, row.revision):
        _complete(connection, run, row.revision, now, replay)


def closing(
    connection: Connection, consumer: Consumer, run: str, now: float, *, replayed: bool = False
) -> Closing | None:
    """Return the latest decision about the run as this consumer's closing; None before any."""
    row = progress.lock_run(connection, run, now)
    if row.decision is None:
        return None
    event = _decided(row.decision)
    lacking = progress.missing(connection, run, event.data.expected, consumer.counted)
    never = tuple(f"{n} {kind} never reached {consumer.name}" for kind, n in sorted(lacking.unseen.items()))
    given_up = tuple(
        f"{n} {kind} could not be handled: testbus dlq show {consumer.name}" for kind, n in sorted(lacking.dead.items())
    )
    return closing_of(event, (*never, *given_up), replayed=replayed)


def _lacking(connection: Connection, consumer: Consumer, decision: bytes) -> bool:
    event = _decided(decision)
    return bool(progress.missing(connection, event.subject, event.data.expected, consumer.counted).unseen)


def _complete(connection: Connection, run: str, revision: int, now: float, replay: str) -> bool:
    jobs.schedule(connection, COMPLETE_JOB, run, now, {"revision": revision}, replay=replay)
    jobs.cancel(connection, OVERDUE_JOB, run)
    return True


def _decided(decision: bytes) -> Event[RunCompleted] | Event[RunInterrupted]:
    return decode(decision)  # type: ignore[return-value] # only decisions are kept
