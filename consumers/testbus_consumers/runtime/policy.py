"""The one policy: what becomes of a delivery. The only place that catches everything."""

from __future__ import annotations

import json
import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from testbus_broker.topology import DELIVERY_LIMIT
from testbus_consumers.errors import BreakerOpenError, LeaseLostError
from testbus_consumers.rate_limits import Limits, LocalLimits
from testbus_consumers.runtime import metrics, requests
from testbus_consumers.runtime.consumer import Consumer, Handler, Kind
from testbus_consumers.runtime.delivery import Acknowledge, Answer, DeadLetter, Delay, Delivery, Settlement
from testbus_consumers.runtime.handler_context import Effects, State
from testbus_consumers.runtime.leases import LEASE_S, Held
from testbus_consumers.runtime.outcomes import Reject, Retry, Undone, Untried, one_line, passes
from testbus_consumers.runtime.replay_mark import Mode, is_past, mode_of
from testbus_consumers.runtime.settlement import SILENT, Ledger, Settled, unhandled
from testbus_consumers.store.outbox import publish
from testbus_schemas import SchemaError, decode
from testbus_schemas.catalog import by_data
from testbus_schemas.context import is_of_project
from testbus_schemas.wire import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from testbus_broker.publisher import Publisher
    from testbus_consumers.records.reading import Records
    from testbus_consumers.runtime.breaker import Breaker
    from testbus_consumers.store import Store
    from testbus_consumers.store.reader import StateReader
    from testbus_schemas import Event, EventData


def check_origin(event: Event[EventData], delivery: Delivery, handler: Handler | None) -> None:
    """Raise SchemaError for a body that claims another type or project than its key.

    On that key the broker checks a producer's rights. Only a request comes without one, and nothing but a request may:
    whoever can ask must not be able to tell.
    """
    if delivery.forged:
        raise SchemaError("it came with x-death headers, which only the broker writes: publish events without them")
    if delivery.routing_key is None:
        if handler is None or handler.kind is not Kind.ANSWER:
            raise SchemaError(f"{event.name} came as a request: publish events to the exchange of events")
    elif by_data(type(event.data)).from_producers and is_of_project(event.data.context.run):
        raise SchemaError(f"{event.data.context.run!r} is no run's id: it stands for what belongs to a project alone")
    elif delivery.routing_key != event.routing_key:
        raise SchemaError(
            f"published as {delivery.routing_key!r}, but the body says {event.routing_key!r}: a producer may only "
            "speak for its own project"
        )


log = structlog.get_logger(__name__)

#: Default of the seconds that state is kept: retention of the stream and longest life of a spool, 14 days each.
KEEP_S: Final = 28 * 86400.0

#: Seconds between two lines of the log about wrong clocks of one project's runners.
_CLOCK_LOG_S: Final = 3600.0

#: What keeps an event from being tried at all: it is as unanswered as before.
_UNTRIED: Final = (LeaseLostError, BreakerOpenError)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Everything that one queue's worker needs, wired once by `bootstrap`."""

    #: Whose handlers.
    consumer: Consumer
    #: Name of the queue: the consumer's, or `<consumer>.<target>`.
    queue: str
    #: The consumer's or target's settings.
    settings: Any
    #: Its state.
    store: Store
    #: The target's client.
    client: Any
    #: Where derived events go.
    publisher: Publisher
    #: Whether the target can be called.
    breaker: Breaker
    #: Retry delays, in seconds, ascending.
    delay_steps: tuple[int, ...]
    #: Deliveries after which the broker dead-letters an event by itself.
    delivery_limit: int = DELIVERY_LIMIT
    #: How often targets may be called, by all workers together.
    limits: Limits = field(default_factory=LocalLimits)
    #: Seconds that state is kept after its last change.
    keep_s: float = KEEP_S
    #: Seconds that bodies of events are kept after the last that was heard of their run.
    keep_bodies_s: float = KEEP_S / 2
    #: Seconds since the epoch.
    clock: Callable[[], float] = time.time
    #: Set when a timer is due at once.
    woken: threading.Event = field(default_factory=threading.Event)
    #: Reads the states of all queues, this one's too; None where there are none to be read.
    reader: StateReader | None = None
    #: What `runs` keeps, by that reader.
    records: Records | None = None
    #: Leases that this process holds and its sweeper renews.
    held: Held = field(default_factory=Held)

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(consumer=self.consumer, store=self.store, clock=self.clock)

    def deliver(self, delivery: Delivery) -> Settlement:
        """Deal with one delivery; whatever happens, the driver learns what to do with it."""
        began = time.perf_counter()
        event, settlement = self._deliver(delivery)
        kind = metrics.UNREADABLE if event is None else event.name
        age = None if event is None or delivery.replayed else metrics.age_of(event.time, self.clock())
        metrics.settled(self.queue, kind, settlement, time.perf_counter() - began, age)
        return settlement

    def _deliver(self, delivery: Delivery) -> tuple[Event[EventData] | None, Settlement]:
        try:
            largest = MAX_EVENT_BYTES if delivery.routing_key is not None else requests.MAX_BYTES
            now = datetime.fromtimestamp(self.clock(), UTC)
            event = decode(delivery.body, delivery.content_encoding, max_bytes=largest, received=now)
            check_origin(event, delivery, self.consumer.handler_of(event))
        except SchemaError as error:
            log.warning("event rejected", consumer=self.queue, event_id=delivery.message_id, error=str(error))
            if delivery.routing_key is None:
                # A request, which is no event: nothing is lost that anybody could send again.
                return None, Acknowledge(note=str(error))
            return None, DeadLetter(error=str(error), attempts=delivery.attempt)
        with structlog.contextvars.bound_contextvars(
            consumer=self.queue, event_id=event.id, type=event.name, run=event.data.context.run
        ):
            self._warn_of_clock(event)
            return event, self._attempt(event, delivery)

    def _attempt(self, event: Event[EventData], delivery: Delivery) -> Settlement:
        try:
            return self._handle(event, delivery)
        except Untried as untried:
            return self._undo(event, delivery, untried.outcome, unanswered=delivery.unanswered)
        except Undone as undone:
            return self._undo(event, delivery, undone.outcome)
        except _UNTRIED as error:
            # A process that ended while it held the lease may have ended of this event: it is not asked at once.
            after = timedelta(seconds=LEASE_S) if delivery.unanswered else None
            again = Retry(one_line(error), after=after, counted=not passes(error))
            return self._undo(event, delivery, again, unanswered=delivery.unanswered)
        except SchemaError as error:
            return self._undo(event, delivery, Reject(str(error)), traceback.format_exc())
        except Exception as error:  # noqa: BLE001 the one place: a handler's fault must not lose the event
            trace = "" if passes(error) else traceback.format_exc()
            return self._undo(event, delivery, Retry(one_line(error), counted=not passes(error)), trace)

    def effects(self, cause: str, replay: str = "") -> Effects[Any, Any]:
        """Return what an effect handler is given; `replay` is the mark of the replay that led to it."""
        return Effects(
            store=self.store,
            consumer=self.queue,
            settings=self.settings,
            client=self.client,
            cause=cause,
            clock=self.clock,
            held=self.held,
            limits=self.limits,
            replay=replay,
            records=self.records,
        )

    def state(
        self, connection: Connection, cause: str, replay: str = "", body: tuple[bytes, str | None] | None = None
    ) -> State[Any]:
        """Return what a state handler is given; `replay` is the mark of the replay that led to it."""
        return State(
            connection,
            consumer=self.queue,
            settings=self.settings,
            cause=cause,
            now=self.clock(),
            replay=replay,
            body=body,
        )

    def silenced(self, handler: Handler, replay: str) -> bool:
        """Tell whether a handler is left out because it would tell people of the past, or call for a reset."""
        if handler.kind is not Kind.EFFECT:
            return False
        return (is_past(replay) and self.consumer.notifies) or mode_of(replay) is Mode.RECOMPUTE

    def step(self, delays: int, retry: Retry) -> int:
        """Return the delay in seconds after so many earlier ones: the next retry delay, or what the handler asked."""
        next_delay = self.delay_steps[min(delays, len(self.delay_steps) - 1)]
        if retry.after is None:
            return next_delay
        wanted = retry.after.total_seconds()
        return next((step for step in self.delay_steps if step >= wanted), self.delay_steps[-1])

    def exhausted(self, attempts: int) -> bool:
        """Tell whether so many counted attempts are all there are."""
        return attempts > len(self.delay_steps)

    def close(self) -> None:
        """Close the target's client and the state."""
        if self.client is not None:
            self.client.close()
        self.limits.close()
        if self.reader is not None:
            self.reader.close()
        self.store.close()

    def _handle(self, event: Event[EventData], delivery: Delivery) -> Settlement:
        handler = self.consumer.handler_of(event)
        if handler and handler.kind is Kind.ANSWER:
            return self._answer(event, handler, delivery)
        if held_back := self.breaker.held_back():
            raise Untried(Retry(held_back, after=timedelta(0), counted=False))
        # That an event was done before is found out where it is written; here it would cost each event a transaction.
        # Only one that nobody answered for must not be given up if it was done.
        before = None
        if delivery.unanswered:
            with self.store.begin() as connection:
                before = self._ledger.settled(connection, event, delivery)
        settled = before or self._run(event, handler, delivery)
        if settled.wakes:
            # Not before the commit: who looks then finds nothing, and sleeps on.
            self.woken.set()
        publish(self.store, self.publisher, settled.unsent)
        return Acknowledge(note=settled.note)

    def _warn_of_clock(self, event: Event[EventData]) -> None:
        context = event.data.context
        if context.started_at_claimed is None:
            return
        if self.limits.take(f"clock:{context.project}", every_s=_CLOCK_LOG_S, longest_s=0.0) == 0:
            log.warning(
                "a runner's clock is more than a day ahead: its run counts from when it was heard of",
                project=context.project,
                run=context.run,
                claimed=context.started_at_claimed.isoformat(),
            )

    def _answer(self, event: Event[EventData], handler: Handler, delivery: Delivery) -> Settlement:
        if beyond := requests.beyond_limit(event, delivery, self.limits):
            return Acknowledge(note=beyond)
        asker = requests.asker(event, delivery)
        if refused := requests.refusal(event, delivery):
            return Answer(body=json.dumps({"status": "refused", "reason": refused}).encode(), asker=asker)
        reply = handler.function(event, self.reader)
        return Answer(body=json.dumps(reply).encode(), asker=asker)

    def _run(self, event: Event[EventData], handler: Handler | None, delivery: Delivery) -> Settled:
        # With a reason, before the broker does it without one; half, as a killed worker counts all that it had fetched.
        if delivery.unanswered >= self.delivery_limit // 2:
            raise Undone(
                Reject(
                    f"delivered {delivery.unanswered} times before and never answered for: handling it ends its worker "
                    "process, or takes longer than the time limit; the worker's log says which"
                )
            )
        if handler is None or self.silenced(handler, delivery.replay):
            decision = SILENT if handler else unhandled(self.consumer, event)
            with self.store.begin() as connection:
                return self._ledger.settle(connection, event, delivery, decision, emitted=())
        if handler.kind is Kind.STATE:
            with self.store.begin() as connection:
                body = delivery.body, delivery.content_encoding
                state = self.state(connection, event.id, delivery.replay, body)
                decide = partial(handler.function, event, state)
                return self._ledger.settle(connection, event, delivery, decide, emitted=state.emitted)
        key = handler.key(event) if handler.key else event.id
        find = partial(self._ledger.settled, event=event, delivery=delivery)
        with self.held.lease(self.store, key, self.clock, find=find) as lease:
            if lease.found is not None:
                # Perhaps by whoever held the lease until now: the same event was delivered twice at once.
                return lease.found
            with self.breaker.guard():
                outcome = handler.function(event, self.effects(event.id, delivery.replay))
            with self.store.begin() as connection:
                lease.end(connection)
                return self._ledger.settle(connection, event, delivery, outcome)

    def _undo(
        self,
        event: Event[EventData],
        delivery: Delivery,
        outcome: Retry | Reject,
        trace: str = "",
        *,
        unanswered: int = 0,
    ) -> Settlement:
        """Answer for an event that was not dealt with: later, or never."""
        attempts = delivery.attempt + int(not isinstance(outcome, Retry) or outcome.counted)
        dead = isinstance(outcome, Reject) or self.exhausted(attempts)
        log.warning("event not handled", dead=dead, attempts=attempts, reason=outcome.reason, traceback=trace or None)
        if delivery.routing_key is None:
            # A request: whoever asked does not wait for a late answer, but asks again.
            return Acknowledge(note=outcome.reason)
        if dead:
            dead_letter = DeadLetter(error=outcome.reason, traceback=trace, attempts=attempts)
            if self._ledger.remember(event, delivery, dead_letter):
                self.woken.set()
            return dead_letter
        assert isinstance(outcome, Retry)
        seconds = self.step(delivery.delays, outcome)
        delay = Delay(
            seconds=seconds,
            attempt=attempts,
            delays=delivery.delays + 1,
            reason=outcome.reason,
            unanswered=unanswered,
        )
        self._ledger.remember(event, delivery, delay)
        return delay
