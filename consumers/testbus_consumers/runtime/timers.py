"""Timers: a due one is run as its handler asks, and put off or given up when that fails."""

from __future__ import annotations

import traceback
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from testbus_consumers.runtime import completion, metrics, retention
from testbus_consumers.runtime.completion import RunCompletion, Waiting
from testbus_consumers.runtime.consumer import Kind
from testbus_consumers.runtime.delivery import DeadLetter, Delivery
from testbus_consumers.runtime.leases import LEASE_S
from testbus_consumers.runtime.outcomes import Done, Outcome, Reject, Retry, Undone, one_line, passes
from testbus_consumers.runtime.settlement import SILENT
from testbus_consumers.store import deliveries, jobs
from testbus_consumers.store.deliveries import Status
from testbus_consumers.store.outbox import publish_outbox
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import decode

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from testbus_consumers.runtime.consumer import Handler
    from testbus_consumers.runtime.delivery import DeliveryActions
    from testbus_consumers.runtime.policy import Policy
    from testbus_consumers.store.jobs import Job

log = structlog.get_logger(__name__)

#: How long a timer that waits for a drained queue is put off when events are waiting.
BACKLOG: Final = timedelta(seconds=1)


def run_due(policy: Policy, actions: DeliveryActions) -> bool:
    """Run one timer that is due; False when there is none.

    None of a paused queue is; and while the target is down none that calls it, nor one that waits for the queue to be
    drained, which it is not.
    """
    if policy.breaker.held_back():
        return False
    down = policy.breaker.state == "open"
    with policy.store.begin() as connection:
        without = _calling(policy) if down else ()
        job = jobs.take(connection, now := policy.clock(), LEASE_S, without=without, drained_too=not down)
    if job is None:
        return False
    if job.when_drained and not actions.drained():
        with policy.store.begin() as connection:
            now = policy.clock()
            due = now + BACKLOG.total_seconds()
            jobs.postpone(connection, job, due, reason="events are waiting")
            jobs.postpone_undrained(connection, now, due)
        return True
    run = RunKey.parse(job.key).run if job.name == completion.COMPLETE_JOB else None
    with structlog.contextvars.bound_contextvars(consumer=policy.queue, event_id=job.cause, timer=job.name, run=run):
        try:
            with policy.held.keeping(policy.store, f"timer {job.name}", job.token, policy.clock, taken_at=now):
                done = _run(policy, actions, job)
            publish_outbox(policy.store, policy.publisher, job.cause)
            if done:
                metrics.timer(policy.queue, job.name, "done")
        except Undone as undone:
            _put_off(policy, actions, job, undone.outcome)
        except Exception as error:  # noqa: BLE001 as in the policy: a handler's fault must not end the worker
            trace = "" if passes(error) else traceback.format_exc()
            _put_off(policy, actions, job, Retry(one_line(error), counted=not passes(error)), trace)
    return True


def _run(policy: Policy, actions: DeliveryActions, job: Job) -> bool:
    """Do what a timer is for; False when that has to wait."""
    if job.name == retention.PRUNE_JOB:
        with policy.store.begin() as connection:
            if jobs.finish(connection, job):
                retention.run(policy, connection)
        return True
    handler = _handler(policy, job)
    subject: object = job.payload
    if job.name == completion.COMPLETE_JOB:
        subject = _look(policy, actions, job)
        if not isinstance(subject, RunCompletion):
            return False
    if handler.kind is Kind.STATE:
        with policy.store.begin() as connection:
            if jobs.finish(connection, job):
                scope = policy.state(connection, job.cause, job.replay)
                _require_done(connection, subject, handler.function(subject, scope))
        return True
    outcome = SILENT if policy.silenced(handler, job.replay) else _act(policy, job, handler, subject)
    with policy.store.begin() as connection:
        _require_done(connection, subject, outcome)
        jobs.finish(connection, job)
    return True


def _look(policy: Policy, actions: DeliveryActions, job: Job) -> RunCompletion | Waiting | None:
    """Return the completion of the timer's run; put the timer off while that waits, or end it when nothing is known."""
    with policy.store.begin() as connection:
        found = completion.look(
            connection,
            policy.consumer,
            job,
            policy.clock(),
            records=policy.records,
            # What a target that is down takes none of is not gone, wherever it waits.
            drained=lambda: policy.breaker.state != "open" and actions.drained(),
        )
        if found is None:
            jobs.finish(connection, job)
        elif isinstance(found, Waiting):
            jobs.postpone(connection, job, found.due_at, reason=found.reason)
    return found


def _act(policy: Policy, job: Job, handler: Handler, subject: object) -> Outcome:
    keeping: AbstractContextManager[Any] = (
        policy.held.lease(policy.store, handler.key(subject), policy.clock) if handler.key else nullcontext()
    )
    with keeping, policy.breaker.guard():
        outcome: Outcome = handler.function(subject, policy.effects(job.cause, job.replay))
    return outcome


def _handlers(policy: Policy) -> dict[str, Handler | None]:
    return {**policy.consumer.jobs, completion.COMPLETE_JOB: policy.consumer.on_complete}


def _calling(policy: Policy) -> tuple[str, ...]:
    """Return the timers that call the target."""
    return tuple(name for name, handler in _handlers(policy).items() if handler and handler.kind is Kind.EFFECT)


def _handler(policy: Policy, job: Job) -> Handler:
    handler = _handlers(policy).get(job.name)
    if handler is None:
        raise Undone(Reject(f"consumer {policy.consumer.name} has no timer {job.name!r}: was it renamed?"))
    return handler


def _require_done(connection: Connection, subject: object, outcome: Outcome) -> None:
    """Let only Done pass; what it notes about a run is reported where the run's decision stands in the ledger."""
    if not isinstance(outcome, Done):
        raise Undone(outcome)
    if outcome.note and isinstance(subject, RunCompletion):
        deliveries.annotate(connection, subject.event_id, outcome.note)


def _put_off(policy: Policy, actions: DeliveryActions, job: Job, outcome: Retry | Reject, trace: str = "") -> None:
    attempts = job.attempts + int(not isinstance(outcome, Retry) or outcome.counted)
    give_up = isinstance(outcome, Reject) or policy.exhausted(attempts)
    metrics.timer(policy.queue, job.name, "dead" if give_up else "retry")
    log.warning("timer not handled", dead=give_up, attempts=attempts, reason=outcome.reason, traceback=trace or None)
    if not give_up:
        assert isinstance(outcome, Retry)
        due = policy.clock() + policy.step(job.delays, outcome)
        with policy.store.begin() as connection:
            jobs.postpone(connection, job, due, attempts=attempts, reason=outcome.reason)
        return
    if job.name == completion.COMPLETE_JOB:
        _dead_letter_decision(
            policy, actions, job, DeadLetter(error=outcome.reason, traceback=trace, attempts=attempts)
        )
    with policy.store.begin() as connection:
        jobs.give_up(connection, job, outcome.reason)


def _dead_letter_decision(policy: Policy, actions: DeliveryActions, job: Job, dead_letter: DeadLetter) -> None:
    """Put the event that carried the decision into the dead-letter queue: redriving it runs `on_complete` again."""
    with policy.store.begin() as connection:
        kept = deliveries.decision(connection, RunKey.parse(job.key))
    if kept is None:
        return
    event = decode(kept.body)
    past = Delivery(
        body=kept.body,
        content_encoding=None,
        routing_key=event.routing_key,
        message_id=event.id,
        replay=job.replay,
    )
    actions.dead_letter(past, dead_letter)
    with policy.store.begin() as connection:
        now, attempts = policy.clock(), dead_letter.attempts
        deliveries.record(connection, event.id, Status.DEAD, now=now, attempts=attempts, reason=dead_letter.error)
