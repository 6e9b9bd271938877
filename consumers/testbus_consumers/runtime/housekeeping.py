"""Housekeeping: a timer of each queue that prunes what is too old, every hour, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_consumers.store import jobs, pruning

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from testbus_consumers.runtime.policy import Policy

#: Name and key of the timer: one row for each queue, whatever the number of its workers.
PRUNE_JOB: Final = "testbus.prune"

#: Seconds between two prunings, counted from the hour: it does not matter when a worker was started.
EVERY_S: Final = 3600.0


def begin(policy: Policy) -> None:
    """Set the timer, unless it is set."""
    with policy.store.begin() as connection:
        if not jobs.is_waiting(connection, PRUNE_JOB, PRUNE_JOB):
            jobs.schedule(connection, PRUNE_JOB, PRUNE_JOB, _next(policy), {})


def run(policy: Policy, connection: Connection) -> None:
    """Prune a batch, and set the timer again: for now where there is more, else for the next hour."""
    more = pruning.prune(connection, policy.clock() - policy.keep_s, policy.consumer.by_run)
    jobs.schedule(connection, PRUNE_JOB, PRUNE_JOB, policy.clock() if more else _next(policy), {})


def _next(policy: Policy) -> float:
    return (policy.clock() // EVERY_S + 1) * EVERY_S
