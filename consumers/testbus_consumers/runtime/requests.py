"""Requests of runners: how many are answered, and about what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from testbus_broker.accounts import project_of

if TYPE_CHECKING:
    from testbus_consumers.rate_limits import Limits
    from testbus_consumers.runtime.delivery import Delivery
    from testbus_schemas import Event, EventData

log = structlog.get_logger(__name__)

#: Bytes that a request may have, inflated: it is a run's context, of at most 4 KiB, and little else.
MAX_BYTES: Final = 64 * 1024

#: Requests of one project that are answered in a second, in the long run and at once: every job of a large matrix may
#: wait for the verdict at the same time, and asks once a second.
_PER_PROJECT: Final = 20
_AT_ONCE: Final = 300

#: The same for all projects together that share an account, or do not say theirs.
_PER_ACCOUNT: Final = 100
_AT_ONCE_PER_ACCOUNT: Final = 1500

#: Seconds between two lines of the log about one project's requests.
_LOG_EVERY_S: Final = 60.0


def asker(event: Event[EventData], delivery: Delivery) -> str:
    """Return whose limit a request counts to: its project's account, or the project within the account it shares."""
    if project_of(delivery.account) is not None:
        return delivery.account
    return f"{delivery.account}/{event.data.context.project}"


def refusal(event: Event[EventData], delivery: Delivery) -> str:
    """Return why a request is refused, whoever waits for it; "" when it is not."""
    own, project = project_of(delivery.account), event.data.context.project
    if own is None or own == project:
        return ""
    return f"the account {delivery.account} asks for runs of {own} only, not for one of {project}"


def beyond_limit(event: Event[EventData], delivery: Delivery, limits: Limits) -> str:
    """Take a turn for a request; returns why it is not answered, "" when it is."""
    name = asker(event, delivery)
    turns = [(name, _PER_PROJECT, _AT_ONCE)]
    if name != delivery.account:
        turns.append((f"{delivery.account}/*", _PER_ACCOUNT, _AT_ONCE_PER_ACCOUNT))
    for key, per_second, at_once in turns:
        # Whoever has a turn does not wait for it: the wait is what was answered ahead of time.
        longest = at_once / per_second
        if limits.take(f"requests:{key}", every_s=1 / per_second, longest_s=longest) > longest:
            if limits.take(f"requests-log:{key}", every_s=_LOG_EVERY_S, longest_s=0) == 0:
                log.warning("requests beyond the limit are not answered", asker=key, per_second=per_second)
            return f"more than {per_second} requests a second of {key}"
    return ""
