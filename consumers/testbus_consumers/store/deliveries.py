"""The delivery ledger: which events reached this queue, what became of them, and the latest decision on each run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import bindparam, delete, func, select, update

from testbus_consumers.store.engine import insert, insert_once, storable
from testbus_consumers.store.run_key import RunKey, rows_of_run
from testbus_consumers.store.tables import DELIVERY, RUN

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from testbus_schemas import Event, EventData

#: Characters of a reason that are kept.
_REASON_CHARS: Final = 4000

#: Made once: every event with an effect runs them.
_STATUS: Final = select(DELIVERY.c.status).where(DELIVERY.c.event_id == bindparam("of"))
_RECORDED: Final = (
    update(DELIVERY)
    .where(DELIVERY.c.event_id == bindparam("of"))
    .values({name: bindparam(name) for name in ("status", "attempts", "reason", "next_at", "updated_at")})
)


class Status(StrEnum):
    """What became of an event."""

    DONE = "done"
    #: Nothing here reacts to it, or a filter left it out.
    SKIPPED = "skipped"
    #: It came from a replay, and replayed events send no notifications.
    SILENT = "silent"
    RETRYING = "retrying"
    DEAD = "dead"

    @property
    def final(self) -> bool:
        """Tell whether a further delivery of the event changes nothing. A dead one may be redriven."""
        return self in {Status.DONE, Status.SKIPPED}

    def settles(self, *, replayed: bool) -> bool:
        """Tell whether a further delivery, replayed or not, changes nothing: silence holds only for the past."""
        return self.final or (replayed and self is Status.SILENT)


@dataclass(frozen=True, kw_only=True)
class Ledgered:
    """One row of the ledger."""

    event_id: str
    #: Its type's short name.
    type: str
    #: What became of it.
    status: Status
    #: Counted attempts.
    attempts: int
    #: Note, or error.
    reason: str
    #: When it is tried again (seconds since the epoch).
    next_at: float | None
    #: When its producer made it.
    recorded_at: float
    #: When this row last changed.
    updated_at: float


def status(connection: Connection, event_id: str) -> Status | None:
    """Return what became of an event so far, None if it was never here."""
    found = connection.execute(_STATUS, {"of": event_id}).scalar()
    return Status(found) if found else None


def claim(
    connection: Connection, event: Event[EventData], state: Status, *, now: float, attempts: int, reason: str = ""
) -> Status | None:
    """Write what is about to become of an event, and return what had become of it before (None: it is new here).

    Of two workers with the same event the second waits here for the first one's transaction, and then sees its result.
    A final status stays as it is.
    """
    new = {
        "event_id": event.id,
        **RunKey.of(event.data.context).values,
        "type": event.name,
        "status": state.value,
        "attempts": attempts,
        "reason": storable(reason, _REASON_CHARS),
        "next_at": None,
        "recorded_at": event.time.timestamp(),
        "updated_at": now,
    }
    if connection.execute(insert_once(connection, DELIVERY), new).first():
        return None
    query = select(DELIVERY.c.status).where(DELIVERY.c.event_id == event.id).with_for_update()
    before = Status(connection.execute(query).scalar_one())
    if not before.final:
        record(connection, event.id, state, now=now, attempts=attempts, reason=reason)
    return before


def record(
    connection: Connection,
    event_id: str,
    state: Status,
    *,
    now: float,
    attempts: int,
    reason: str = "",
    next_at: float | None = None,
) -> None:
    """Write what became of an event that has been claimed."""
    changed = {
        "status": state.value,
        "attempts": attempts,
        "reason": storable(reason, _REASON_CHARS),
        "next_at": next_at,
        "updated_at": now,
    }
    connection.execute(_RECORDED, {"of": event_id, **changed})


def annotate(connection: Connection, event_id: str, reason: str) -> None:
    """Replace the reason of an event in the ledger, and leave everything else."""
    changed = update(DELIVERY).where(DELIVERY.c.event_id == event_id)
    connection.execute(changed.values(reason=storable(reason, _REASON_CHARS)))


def seen(connection: Connection, event_ids: Collection[str], *, silent: bool = True) -> set[str]:
    """Return those of the events that reached this queue before; `silent` includes those passed over in silence."""
    query = select(DELIVERY.c.event_id).where(DELIVERY.c.event_id.in_(event_ids))
    if not silent:
        query = query.where(DELIVERY.c.status != Status.SILENT.value)
    return set(connection.execute(query).scalars())


def kept_of_run(connection: Connection, key: RunKey) -> dict[str, str]:
    """Return the events of a run that ever reached this queue: id → short name of its type."""
    rows = connection.execute(select(DELIVERY.c.event_id, DELIVERY.c.type).where(*key.rows(DELIVERY)))
    return {row.event_id: row.type for row in rows}


def statuses(connection: Connection, key: RunKey, types: Collection[str]) -> dict[str, tuple[str, Status]]:
    """Return what became of the events of a run that are of these types: id → short name of its type, and status."""
    query = select(DELIVERY.c.event_id, DELIVERY.c.type, DELIVERY.c.status)
    rows = connection.execute(query.where(*key.rows(DELIVERY), DELIVERY.c.type.in_(types)))
    return {row.event_id: (row.type, Status(row.status)) for row in rows}


def reset(connection: Connection, key: RunKey) -> int:
    """Forget that the events of a run were here, and return how many that were.

    The decision on it is kept, and counts as one that was not acted upon.
    """
    connection.execute(update(RUN).where(*key.rows(RUN)).values(fired=0, lacked=False))
    return connection.execute(delete(DELIVERY).where(*key.rows(DELIVERY))).rowcount


def waiting(connection: Connection, key: RunKey, since: float) -> bool:
    """Tell whether events of a run wait for another attempt that is due after `since`.

    One whose time has long passed does not wait any more: somebody purged it.
    """
    query = select(DELIVERY.c.event_id).where(
        *key.rows(DELIVERY), DELIVERY.c.status == Status.RETRYING.value, DELIVERY.c.next_at > since
    )
    return connection.execute(query.limit(1)).scalar() is not None


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """How a queue gets on."""

    #: When the event that was handled last had been recorded (seconds since the epoch); None before any.
    recorded_at: float | None
    #: When the oldest that waits for another try had been recorded; None when none does.
    retried_at: float | None
    #: Events settled since the moment that was asked for.
    handled: int


def pulse(connection: Connection, since: float) -> Pulse:
    """Return what was handled last, and how much was since a moment (seconds since the epoch)."""
    settled = DELIVERY.c.status != Status.RETRYING.value
    last = select(DELIVERY.c.recorded_at).where(settled).order_by(DELIVERY.c.updated_at.desc()).limit(1)
    count = select(func.count()).select_from(DELIVERY).where(settled, DELIVERY.c.updated_at >= since)
    retried = select(func.min(DELIVERY.c.recorded_at)).where(DELIVERY.c.status == Status.RETRYING.value)
    return Pulse(
        recorded_at=connection.execute(last).scalar(),
        retried_at=connection.execute(retried).scalar(),
        handled=connection.execute(count).scalar_one(),
    )


def of_run(connection: Connection, run: str) -> list[Ledgered]:
    """Return the ledger of a run id, whichever project's, oldest first."""
    rows = connection.execute(select(DELIVERY).where(DELIVERY.c.run == run).order_by(DELIVERY.c.recorded_at))
    return [
        Ledgered(
            event_id=row.event_id,
            type=row.type,
            status=Status(row.status),
            attempts=row.attempts,
            reason=row.reason,
            next_at=row.next_at,
            recorded_at=row.recorded_at,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


class Decision(NamedTuple):
    """The latest decision on a run, as it reached this queue."""

    #: Its number, from 1.
    revision: int
    #: Highest number that was acted upon; 0 before any.
    fired: int
    #: Whether that was without some of the events that it counts.
    lacked: bool
    #: The event that carried it, as plain JSON.
    body: bytes


_DECISION = (RUN.c.revision, RUN.c.fired, RUN.c.lacked, RUN.c.decision)

#: Made once, because whatever a streaming consumer settles asks for it.
_DECISION_ON = select(*_DECISION).where(*rows_of_run(RUN))
_SHARED: Final = _DECISION_ON.with_for_update(read=True)
_LOCKED: Final = _DECISION_ON.with_for_update()


def decision(connection: Connection, key: RunKey, *, lock: bool = False) -> Decision | None:
    """Return the latest decision on a run; None before any.

    To the end of the transaction nobody who asked for the `lock` acts upon it; those without do not wait for each
    other. So of an event that is settled and a decision that is acted upon, the later knows of the earlier.
    """
    row = connection.execute(_LOCKED if lock else _SHARED, key.values).one_or_none()
    return None if row is None else Decision(*row)


def keep_decision(connection: Connection, key: RunKey, revision: int, body: bytes, *, now: float) -> Decision:
    """Keep a decision on a run unless a later one is kept, and return the one that holds, locked."""
    new = {"revision": revision, "fired": 0, "lacked": False, "decision": body, "updated_at": now}
    statement = insert(connection, RUN).values(**key.values, **new)
    statement = statement.on_conflict_do_update(index_elements=[RUN.c.project, RUN.c.run], set_={"updated_at": now})
    row = Decision(*connection.execute(statement.returning(*_DECISION)).one())
    if row.revision >= revision:
        return row
    connection.execute(update(RUN).where(*key.rows(RUN)).values(revision=revision, decision=body))
    return row._replace(revision=revision, body=body)


def act_upon(connection: Connection, key: RunKey, revision: int, *, lacked: bool) -> None:
    """Write that a decision is acted upon, and whether without some of the events that it counts."""
    connection.execute(update(RUN).where(*key.rows(RUN)).values(fired=revision, lacked=lacked))
