"""What one queue remembers of its events: done, put off, dead or passed over, and what follows once all are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from testbus_consumers.runtime import completion, metrics
from testbus_consumers.runtime.consumer import Consumer, Kind
from testbus_consumers.runtime.delivery import DeadLetter, Delay, Delivery
from testbus_consumers.runtime.outcomes import Done, Outcome, Undone, one_line
from testbus_consumers.runtime.replay_mark import Mode
from testbus_consumers.store import deliveries, outbox
from testbus_consumers.store.deliveries import Status
from testbus_schemas import RunCompleted, RunInterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from testbus_consumers.store import Store
    from testbus_consumers.store.outbox import Unsent
    from testbus_schemas import Event, EventData

log = structlog.get_logger(__name__)

#: What it says of a decision about a run: the consumer's `on_complete` follows from it.
_NOTED: Final = Done("decision noted")

#: What it says of an event that this consumer does not react to.
_NOT_HANDLED: Final = Done("not handled here")

#: What it says of an event of the past that sends no notification.
SILENT: Final = Done("silent: replayed")


@dataclass(frozen=True, kw_only=True)
class Settled:
    """An event that was dealt with, now or before."""

    #: What is noted about it.
    note: str
    #: What it led to and is not confirmed by the broker yet.
    unsent: Sequence[Unsent]
    #: Whether a timer is due at once: for whoever has committed this.
    wakes: bool = False


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The rows of one queue's events."""

    #: Whose events.
    consumer: Consumer
    #: Where the rows are.
    store: Store
    #: Seconds since the epoch.
    clock: Callable[[], float]

    def settled(self, connection: Connection, event: Event[EventData], delivery: Delivery) -> Settled | None:
        """Return what became of an event before, if nothing is to be done for this delivery."""
        if not self._is_settled(deliveries.status(connection, event.id), event, delivery):
            return None
        return self._settled(connection, event, metrics.ALREADY_DONE)

    def settle(
        self,
        connection: Connection,
        event: Event[EventData],
        delivery: Delivery,
        decision: Outcome | Callable[[], Outcome],
        *,
        emitted: Sequence[Unsent] | None = None,
    ) -> Settled:
        """Write what became of an event: its row, its handler's rows, and what follows.

        `decision` is the outcome, or the handler that decides it, which is not called for an event that was settled
        before. `emitted` is what it emits in this transaction; None where it may have emitted before. Raises Undone
        when the event is not settled, and the caller's transaction is to be rolled back.
        """
        now = self.clock()
        # What is known already is written at once.
        state, noted = (Status.DONE, "") if callable(decision) else (_status_of(decision), _note_of(decision))
        attempts = delivery.attempt + 1
        before = deliveries.claim(connection, event, state, now=now, attempts=attempts, reason=noted)
        if self._is_settled(before, event, delivery):
            return self._settled(connection, event, metrics.ALREADY_DONE)
        outcome = decision() if callable(decision) else decision
        if not isinstance(outcome, Done):
            raise Undone(outcome)
        if outcome.note != noted:
            deliveries.record(connection, event.id, state, now=now, attempts=attempts, reason=outcome.note)
        wakes = False
        if before is not None and before.final:
            # Done long ago; what was done once everything was there is done again.
            completion.repeat(connection, self.consumer, event, now, delivery.replay)
        elif before is not Status.SILENT:
            dead_before = before is Status.DEAD
            wakes = completion.note(
                connection, self.consumer, event, now, dead=False, was_dead=dead_before, replay=delivery.replay
            )
        if before is None and emitted is not None:
            return Settled(note=outcome.note, unsent=emitted, wakes=wakes)
        return self._settled(connection, event, outcome.note, wakes=wakes)

    def remember(self, event: Event[EventData], delivery: Delivery, settlement: Delay | DeadLetter) -> bool:
        """Write that it was not dealt with, and tell whether a timer is due at once.

        When the database is what failed, the event itself carries what matters.
        """
        now = self.clock()
        if isinstance(settlement, Delay):
            state, reason, attempts = Status.RETRYING, settlement.reason, settlement.attempt
            later: float | None = now + settlement.seconds
        else:
            state, reason, attempts, later = Status.DEAD, settlement.error, settlement.attempts, None
        try:
            with self.store.begin() as connection:
                before = deliveries.claim(connection, event, state, now=now, attempts=attempts)
                if before is not None and before.settles(replayed=delivery.replayed):
                    return False
                # A redriven dead letter stays one until it is done: that is how its run hears of it. The same goes for
                # an event that a replay passed over in silence, and that now comes as news.
                kept = before if before in {Status.DEAD, Status.SILENT} else state
                deliveries.record(connection, event.id, kept, now=now, attempts=attempts, reason=reason, next_at=later)
                newly_dead = kept is Status.DEAD and before is not Status.DEAD
                return newly_dead and completion.note(
                    connection, self.consumer, event, now, dead=True, was_dead=False, replay=delivery.replay
                )
        except SQLAlchemyError as error:
            log.warning("ledger not written", error=one_line(error))
            return False

    def _settled(self, connection: Connection, event: Event[EventData], note: str, *, wakes: bool = False) -> Settled:
        """Return how it ended, with what it led to: in the same transaction, which spares every event a second one."""
        return Settled(note=note, unsent=outbox.of_cause(connection, event.id), wakes=wakes)

    def _is_settled(self, before: Status | None, event: Event[EventData], delivery: Delivery) -> bool:
        """Tell whether this delivery changes nothing, because of what became of the event before."""
        if before is None or not before.settles(replayed=delivery.replayed):
            return False
        # What was done at a target is looked for there, when a person asked for that.
        return delivery.mode is not Mode.RESEND or not self._calls(event)

    def _calls(self, event: Event[EventData]) -> bool:
        """Tell whether the target is called for an event, or for what it completes."""
        handler = self.consumer.handler_of(event)
        if handler is None and isinstance(event.data, RunCompleted | RunInterrupted):
            handler = self.consumer.on_complete
        return handler is not None and handler.kind is Kind.EFFECT


def unhandled(consumer: Consumer, event: Event[EventData]) -> Done:
    """Return what an event without a handler means: a decision about a run is the runtime's own business."""
    noted = consumer.on_complete is not None and isinstance(event.data, RunCompleted | RunInterrupted)
    return _NOTED if noted else _NOT_HANDLED


def _status_of(outcome: Outcome) -> Status:
    if outcome is SILENT:
        return Status.SILENT
    return Status.SKIPPED if outcome is _NOT_HANDLED else Status.DONE


def _note_of(outcome: Outcome) -> str:
    return outcome.note if isinstance(outcome, Done) else ""
