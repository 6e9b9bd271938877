"""When a run is complete for one consumer: `runs` has decided, and its ledger has every event that the decision counts.

Nothing is counted as events pass. A decision sets a timer, which compares: the record says which events there are, the
ledger what became of them here. A consumer of decisions alone lacks none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from testbus_consumers.errors import NoRecordError
from testbus_consumers.runtime.replay_mark import is_past
from testbus_consumers.store import deliveries, jobs, leases
from testbus_consumers.store.deliveries import Status
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import RunCompleted, RunInterrupted, decode, encode
from testbus_schemas.codec import inflate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from testbus_consumers.records.reading import Record, Records
    from testbus_consumers.runtime.consumer import Consumer
    from testbus_consumers.store.jobs import Job
    from testbus_schemas import Event, EventData, RunContext


@dataclass(frozen=True, kw_only=True)
class RunCompletion:
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
    #: Whether a replayed event led to it: then it is about the past, and notifications were sent, or are not wanted.
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


#: The job that calls a consumer's `on_complete`.
COMPLETE_JOB: Final = "testbus.complete"

#: Seconds that a decision waits at least, with an empty queue, for events that it counts and that are not here.
OVERDUE_S: Final = 60.0

#: Seconds between two looks for such events: a twentieth of the time that they have been waited for, within these.
LOOK_S: Final = 1.0
_RARE_LOOK_S: Final = 30.0

#: How long what a worker has in its hands can take at most: as many events as a process fetches, each for the time
#: limit of a handler.
_LONGEST_IN_HAND_S: Final = 1800.0

#: What the ledger says of a decision that came after a later one.
OUTDATED: Final = "a later decision holds"


class Lacking(NamedTuple):
    """What a decision counts and this consumer has not done, by type."""

    #: Events that were never settled here.
    unseen: Mapping[str, int]
    #: Events given up here.
    dead: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A decision that is not acted upon yet."""

    #: What has to come first, for people.
    reason: str
    #: When to look again, in seconds since the epoch.
    due_at: float


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
    """Take note of an event that was just settled, and tell whether a timer is due at once.

    Called at the end of the transaction, because a decision takes the run's lock. `was_dead` marks a dead letter that
    was redriven. What follows from an event of a `replay` belongs to that replay.
    """
    if consumer.on_complete is None:
        return False
    if isinstance(event.data, RunCompleted | RunInterrupted):
        return not dead and _decided(connection, event, event.data, now, was_dead=was_dead, replay=replay)
    if event.name not in consumer.counted:
        return False
    key = RunKey.of(event.data.context)
    kept = deliveries.decision(connection, key)
    if kept is not None and kept.fired == kept.revision and (kept.lacked or was_dead):
        # Acted upon without what this event has brought. The next that comes late is there by then, perhaps.
        _set(connection, key, now, due_at=now + LOOK_S, replay=replay)
    return False


def repeat(connection: Connection, consumer: Consumer, event: Event[EventData], now: float, replay: str) -> None:
    """Act once more on the decision about a resent event's run, when the queue is empty.

    If that is before the last of its events was sent, then once more after that.
    """
    if consumer.on_complete is None:
        return
    key = RunKey.of(event.data.context)
    kept = deliveries.decision(connection, key)
    if kept is not None and kept.fired == kept.revision:
        _set(connection, key, now, due_at=now, replay=replay, when_drained=True)


def look(
    connection: Connection,
    consumer: Consumer,
    job: Job,
    now: float,
    *,
    records: Records | None,
    drained: Callable[[], bool],
) -> RunCompletion | Waiting | None:
    """Return what the latest decision about a run means here, or what that waits for; None without any.

    What waits for a retry, may be in a worker's hands or in the queue (unless that is `drained`) is still to come; what
    is not, and has not come, is among its reasons. Raises NoRecordError and StateError when it cannot be
    known what the decision counts.
    """
    key = RunKey.parse(job.key)
    kept = deliveries.decision(connection, key, lock=True)
    if kept is None:
        return None
    event: Event[RunCompleted] | Event[RunInterrupted] = decode(kept.body)  # type: ignore[assignment] # no other is kept
    since = job.payload["since"]

    def coming() -> bool:
        if now - since < OVERDUE_S or not drained() or deliveries.waiting(connection, key, now - OVERDUE_S):
            return True
        return leases.any_held(connection, now) and now - since < _LONGEST_IN_HAND_S

    ledger = deliveries.statuses(connection, key, consumer.counted) if consumer.counted else {}
    lacking = _by_number(event.data, ledger, consumer.counted)
    # Fewer than the decision counts are surely not all: so the record is read when there may be all.
    enough = not (lacking.unseen and coming())
    if consumer.counted and records is not None and event.data.record is not None and enough:
        lacking = _by_record(records.open(event.data.context, kept.revision), ledger, consumer.counted)
    if lacking.unseen and coming():
        named = ", ".join(f"{n} {kind}" for kind, n in sorted(lacking.unseen.items()))
        pause = min(max(LOOK_S, (now - since) / 20), _RARE_LOOK_S)
        return Waiting(reason=f"waits for {named}", due_at=now + pause)
    deliveries.act_upon(connection, key, kept.revision, lacked=bool(lacking.unseen))
    return completion_of(event, _reasons(consumer, lacking), records=records, replayed=is_past(job.replay))


def completion_of(
    event: Event[RunCompleted] | Event[RunInterrupted],
    missing: tuple[str, ...],
    *,
    records: Records | None = None,
    replayed: bool = False,
) -> RunCompletion:
    """Return what a decision means to one consumer.

    `missing` says what this consumer itself lacks (events it gave up or never received); with any of it the run is not
    complete for this consumer.
    """
    data = event.data
    reasons = (*(data.reasons if isinstance(data, RunInterrupted) else ()), *missing)
    return RunCompletion(
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
        records=records,
    )


def _decided(
    connection: Connection,
    event: Event[EventData],
    data: RunCompleted | RunInterrupted,
    now: float,
    *,
    was_dead: bool,
    replay: str,
) -> bool:
    """Keep a decision, and set the timer that acts upon it; False where that was done before, or a later one holds."""
    encoded = encode(event)
    key = RunKey.of(data.context)
    body = inflate(encoded.body, encoded.content_encoding)
    kept = deliveries.keep_decision(connection, key, data.revision, body, now=now)
    if data.revision < kept.revision:
        deliveries.annotate(connection, event.id, OUTDATED)
        return False
    if kept.fired == kept.revision and not was_dead:
        return False
    _set(connection, key, now, due_at=now, replay=replay)
    return True


def _set(
    connection: Connection, key: RunKey, now: float, *, due_at: float, replay: str, when_drained: bool = False
) -> None:
    waited = {"since": now}
    jobs.schedule(connection, COMPLETE_JOB, str(key), due_at, waited, when_drained=when_drained, replay=replay)


def _by_number(
    data: RunCompleted | RunInterrupted, ledger: Mapping[str, tuple[str, Status]], counted: frozenset[str]
) -> Lacking:
    """Compare how many events of each type there are: all that is known to who cannot read the record.

    Those of a producer that was replaced, which the decision does not count, are taken for others here.
    """
    expected: Counter[str] = Counter()
    for types in data.expected.values():
        expected.update({kind: types[kind] for kind in counted & types.keys()})
    settled = Counter(kind for kind, status in ledger.values() if status is not Status.RETRYING)
    dead = Counter(kind for kind, status in ledger.values() if status is Status.DEAD)
    return Lacking(unseen=expected - settled, dead=dead)


def _by_record(record: Record, ledger: Mapping[str, tuple[str, Status]], counted: frozenset[str]) -> Lacking:
    """Compare which events there are."""
    unseen: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    for event_id, kind in record.events(counted).items():
        _, status = ledger.get(event_id, (kind, Status.RETRYING))
        unseen[kind] += status is Status.RETRYING
        dead[kind] += status is Status.DEAD
    return Lacking(unseen=+unseen, dead=+dead)


def _reasons(consumer: Consumer, lacking: Lacking) -> tuple[str, ...]:
    never = (f"{n} {kind} never reached {consumer.name}" for kind, n in sorted(lacking.unseen.items()))
    given_up = (
        f"{n} {kind} could not be handled: testbus dlq show {consumer.name}" for kind, n in sorted(lacking.dead.items())
    )
    return (*never, *given_up)
