"""One queue of the embedded driver: a thread that reads the log, and SQLite for what RabbitMQ would keep."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError

from testbus_broker.errors import BrokerError
from testbus_broker.message import REPLAYED
from testbus_consumers.embedded.state import DEAD, DELAYED, load_positions, save_positions
from testbus_consumers.errors import ConsumerError
from testbus_consumers.runtime import retention
from testbus_consumers.runtime.breaker import SYNC_S, sync
from testbus_consumers.runtime.completion import COMPLETE_JOB
from testbus_consumers.runtime.delivery import Delivery, settle
from testbus_consumers.runtime.outcomes import one_line
from testbus_consumers.runtime.timers import run_due
from testbus_consumers.store import control, jobs
from testbus_consumers.store.outbox import publish_stragglers
from testbus_schemas import SchemaError, decode

if TYPE_CHECKING:
    from testbus_broker.event_log import EventLog
    from testbus_broker.message import Message
    from testbus_broker.topology import Subscription
    from testbus_consumers.runtime.delivery import Answer, DeadLetter, Delay
    from testbus_consumers.runtime.policy import Policy

log = structlog.get_logger(__name__)

#: Seconds between two looks at a log that had nothing new.
POLL_S: Final = 0.05

#: Messages that are not for this queue, after which the position is kept all the same.
_SKIPS_KEPT: Final = 500


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What is left for one queue to do."""

    #: Whether it is at work, or has unread events or due timers.
    busy: bool
    #: Events that wait to be read.
    unread: int
    #: Messages, and ends of runs, put off to a later attempt.
    delayed: int
    #: Messages given up.
    dead: int
    #: Whether a person stopped it.
    paused: bool = False
    #: When the oldest of the unread was made, in seconds since the epoch; None when there is none.
    oldest: float | None = None

    @property
    def empty(self) -> bool:
        """Tell whether nothing will happen here any more unless something new comes, or somebody resumes it."""
        return self.paused or not (self.busy or self.delayed)


class QueueWorker:
    """One queue: reads, delivers, settles; and its own delivery actions."""

    def __init__(self, subscription: Subscription, policy: Policy, events: EventLog) -> None:
        """Serve the subscription from the log."""
        #: What decides.
        self.policy = policy
        self._subscription = subscription
        self._events = events
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"testbus-{policy.queue}", daemon=True)
        self._idle = threading.Event()
        self._synced = -math.inf
        self._position = self._load_position()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End after the event under way; False if that took longer than `timeout` seconds."""
        self._stopped.set()
        self.policy.woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def backlog(self) -> Backlog:
        """Return what is left to do here."""
        with self.policy.store.begin() as connection:
            delayed = connection.execute(select(func.count()).select_from(DELAYED)).scalar_one()
            # What a run's end calls for, and could not be done yet: a rate limit, say.
            delayed += len(jobs.put_off(connection, COMPLETE_JOB))
            dead = connection.execute(select(func.count()).select_from(DEAD)).scalar_one()
            due = jobs.next_due(connection)
            row = control.read(connection)
        oldest, unread = None, 0
        for message, _ in self._events.read(self._position):
            if self._subscription.wants(message.routing_key):
                unread += 1
                oldest = _made_at(message) if oldest is None else oldest
        busy = not self._idle.is_set() or unread > 0 or (due is not None and due <= self.policy.clock())
        paused = row is not None and row.paused(self.policy.clock())
        return Backlog(
            busy=busy and not paused, unread=unread, delayed=delayed, dead=dead, paused=paused, oldest=oldest
        )

    # The delivery actions.

    def delay(self, delivery: Delivery, delay: Delay) -> None:
        """Keep the message until its time."""
        row = _row(delivery) | {
            "due_at": self.policy.clock() + delay.seconds,
            "attempt": delay.attempt,
            "delays": delay.delays,
            "reason": delay.reason,
        }
        with self.policy.store.begin() as connection:
            connection.execute(DELAYED.insert().values(**row))

    def dead_letter(self, delivery: Delivery, dead_letter: DeadLetter) -> None:
        """Keep the message with its error."""
        row = _row(delivery) | {
            "message_id": delivery.message_id,
            "error": dead_letter.error,
            "traceback": dead_letter.traceback,
            "attempts": dead_letter.attempts,
            "died_at": self.policy.clock(),
        }
        with self.policy.store.begin() as connection:
            connection.execute(DEAD.insert().values(**row))

    def answer(self, delivery: Delivery, answer: Answer) -> None:
        """Nobody asks through the log: `EmbeddedBus.ask` takes the policy's answer itself."""

    def drained(self) -> bool:
        """Tell whether the log holds nothing more for this queue."""
        beyond = self._events.read(self._position)
        return not any(self._subscription.wants(message.routing_key) for message, _ in beyond)

    # The thread's part.

    def _loop(self) -> None:
        behind = True
        while not self._stopped.is_set():
            try:
                if behind:
                    # An event whose end could not be kept is read again; what was done of it is known.
                    self._position = self._load_position()
                    # What a drainer that died had committed and not published: nothing new need come to remind of it.
                    publish_stragglers(self.policy.store, self.policy.publisher, self.policy.clock())
                    retention.begin(self.policy)
                    behind = False
                self._sync()
                worked = self.step()
            except (BrokerError, ConsumerError, SQLAlchemyError) as error:
                log.warning("queue worker failed, goes on", consumer=self.policy.queue, error=one_line(error))
                worked, behind = False, True
            if not worked:
                self._idle.set()
                self.policy.woken.wait(POLL_S)
                self.policy.woken.clear()

    def _sync(self) -> None:
        if time.monotonic() >= self._synced + SYNC_S:
            sync(self.policy.store, self.policy.queue, self.policy.breaker)
            self._synced = time.monotonic()

    def step(self) -> bool:
        """Do all there is to do at this moment; False when there was nothing."""
        if self.policy.breaker.blocked():
            # The log and the table keep what waits: nothing has to be moved while the target is down.
            return False
        worked = self._deliver_due()
        worked |= self._deliver_new()
        while not self._stopped.is_set() and run_due(self.policy, self):
            worked = True
        return worked

    def _deliver_due(self) -> bool:
        with self.policy.store.begin() as connection:
            query = (
                select(DELAYED).where(DELAYED.c.due_at <= self.policy.clock()).order_by(DELAYED.c.due_at, DELAYED.c.id)
            )
            rows = connection.execute(query.limit(100)).all()
        for row in rows:
            self._sync()
            if self._stopped.is_set() or self.policy.breaker.blocked():
                return True
            self._settle(
                Delivery(
                    body=row.body,
                    content_encoding=row.content_encoding,
                    routing_key=row.routing_key,
                    attempt=row.attempt,
                    delays=row.delays,
                    replay=row.replay,
                )
            )
            with self.policy.store.begin() as connection:
                connection.execute(delete(DELAYED).where(DELAYED.c.id == row.id))
        return bool(rows)

    def _deliver_new(self) -> bool:
        skipped = 0
        worked = False
        for message, position in self._events.read(self._position):
            self._sync()
            if self._stopped.is_set() or self.policy.breaker.blocked():
                break
            wanted = self._subscription.wants(message.routing_key)
            if wanted:
                # Before the position moves: who looks in between must not take this worker for done.
                self._idle.clear()
            self._position = position
            if wanted:
                self._settle(_delivery(message))
                worked = True
            skipped = 0 if wanted else skipped + 1
            if wanted or skipped >= _SKIPS_KEPT:
                self._save_position()
        if skipped:
            self._save_position()
        if worked:
            publish_stragglers(self.policy.store, self.policy.publisher, self.policy.clock())
        return worked

    def _settle(self, delivery: Delivery) -> None:
        settle(self, delivery, self.policy.deliver(delivery))

    def _load_position(self) -> dict[str, int]:
        with self.policy.store.begin() as connection:
            return load_positions(connection) or {}

    def _save_position(self) -> None:
        with self.policy.store.begin() as connection:
            save_positions(connection, self._position)


def _made_at(message: Message) -> float | None:
    try:
        return decode(message.body, message.content_encoding).time.timestamp()
    except SchemaError:
        return None


def _delivery(message: Message) -> Delivery:
    return Delivery(
        body=message.body,
        content_encoding=message.content_encoding,
        routing_key=message.first_routing_key,
        message_id=message.message_id,
        replay=str(message.headers.get(REPLAYED, "")),
    )


def _row(delivery: Delivery) -> dict[str, Any]:
    return {
        "body": delivery.body,
        "content_encoding": delivery.content_encoding,
        "routing_key": delivery.routing_key,
        "replay": delivery.replay,
    }
