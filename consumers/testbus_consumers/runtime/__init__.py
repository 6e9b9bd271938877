"""The runtime: one policy for acknowledgement, retries, dead letters, idempotency and timers.

Handlers know these names and no others; only the runtime acknowledges.
"""

from __future__ import annotations

from testbus_consumers.runtime.completion import RunCompletion
from testbus_consumers.runtime.consumer import Consumer, answer, effect, keep_until_replaced, state
from testbus_consumers.runtime.handler_context import Effects, State
from testbus_consumers.runtime.leases import check_leases
from testbus_consumers.runtime.outcomes import Done, Outcome, Reject, Retry
from testbus_consumers.store.run_key import RunKey, run_columns

__all__ = [
    # what a consumer is
    "Consumer",
    "answer",
    "effect",
    "keep_until_replaced",
    "state",
    # what its tables name a run by
    "RunKey",
    "run_columns",
    # what a handler is given
    "RunCompletion",
    "Effects",
    "State",
    # what a client asks before each request
    "check_leases",
    # what a handler answers
    "Done",
    "Outcome",
    "Reject",
    "Retry",
]
