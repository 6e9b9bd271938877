"""Resetting one run in a queue's state: its marks, what was counted of it, its timers, and the consumer's own rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from testbus_consumers.errors import StateError
from testbus_consumers.runtime import State, completion
from testbus_consumers.store import deliveries, jobs, progress
from testbus_consumers.store.tables import DELIVERY, JOB, PROGRESS, RUN

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from testbus_consumers.registry import Instance
    from testbus_consumers.store import Store
    from testbus_consumers.store.run_key import RunKey

#: Milliseconds that a reset waits for handlers under way: less than PostgreSQL's deadlock_timeout (1 s), so that of a
#: reset and a handler that wait for each other it is always the reset that gives way.
_PATIENCE_MS: Final = 200

#: Seconds until a reset that gave way tries again, and how often it does.
_PAUSE_S: Final = 0.1
_TRIES: Final = 300

#: PostgreSQL's states for a lock that was not given in time, and for a deadlock.
_GAVE_WAY: Final = frozenset({"55P03", "40P01"})


def reset(store: Store, instance: Instance, key: RunKey) -> int:
    """Forget that a run's events were handled, and return how many that were.

    The latest decision about the run is kept: it is what the run's events have to add up to before it is acted upon.
    Raises StateError when handlers leave no gap for too long.
    """
    for _ in range(_TRIES):
        try:
            with store.begin() as connection:
                return _reset(connection, instance, key)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in _GAVE_WAY:
                raise
            time.sleep(_PAUSE_S)
    raise StateError(f"{instance.label} is too busy to reset run {key.run}: repeat this when its queue is shorter")


def _reset(connection: Connection, instance: Instance, key: RunKey) -> int:
    _shut(connection, instance)
    gone = deliveries.reset(connection, key)
    progress.reset(connection, key)
    for name in (completion.COMPLETE_JOB, completion.OVERDUE_JOB):
        jobs.cancel(connection, name, str(key))
    assert instance.consumer.forget is not None
    now = time.time()
    scope = State(connection, consumer=instance.queue, settings=instance.settings, cause=f"reset:{key}", now=now)
    instance.consumer.forget(key, scope)
    return gone


def _shut(connection: Connection, instance: Instance) -> None:
    """Keep every handler of the queue out until the end of the transaction.

    What a handler under way has written cannot be seen, and so would outlive its own mark, or lose its count. Every
    delivery begins with its mark: that table comes first. SQLite has one writer at a time anyway.
    """
    if connection.dialect.name != "postgresql":
        return
    own = instance.consumer.metadata.sorted_tables if instance.consumer.metadata is not None else []
    names = ", ".join(f'"{table.name}"' for table in (DELIVERY, JOB, RUN, PROGRESS, *own))
    connection.execute(text(f"SET LOCAL lock_timeout = {_PATIENCE_MS}"))
    connection.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
