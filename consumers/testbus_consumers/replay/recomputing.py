"""Recomputing runs: their rows and marks are reset, and all of their events are sent again.

A consumer that keeps its events needs none of that: a timer of its own recomputes each run where they are.

The order is what makes it safe. First it is seen that every event of a run that the queue has handled was kept.
Then run after run is reset, each in one transaction that no handler's overlaps. Only then is the past read up to its
end, and sent as a gap is filled: whatever a reset took away had been published before, and so is read. What comes live
in between is handled once, by whichever delivery is first. A crash anywhere leaves a gap, which the same call closes.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from testbus_consumers.errors import StateError
from testbus_consumers.replay.filling import event_of, fill
from testbus_consumers.replay.plan import PartialRangeError, Selection
from testbus_consumers.runtime import State, completion
from testbus_consumers.store import deliveries, jobs
from testbus_consumers.store.engine import unusable
from testbus_consumers.store.run_key import RunKey
from testbus_consumers.store.tables import DELIVERY, JOB, RUN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from testbus_consumers.registry import Instance
    from testbus_consumers.replay.plan import Filled, Plan
    from testbus_consumers.runtime.consumer import KeptEvents
    from testbus_consumers.store import Store

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
    jobs.cancel(connection, completion.COMPLETE_JOB, str(key))
    assert instance.consumer.reset_run is not None
    now = time.time()
    scope = State(connection, consumer=instance.queue, settings=instance.settings, cause=f"reset:{key}", now=now)
    instance.consumer.reset_run(key, scope)
    return gone


def _shut(connection: Connection, instance: Instance) -> None:
    """Keep every handler of the queue out until the end of the transaction.

    What a handler under way has written cannot be seen, and so would outlive its own mark. Every
    delivery begins with its mark: that table comes first. SQLite has one writer at a time anyway.
    """
    if connection.dialect.name != "postgresql":
        return
    own = instance.consumer.metadata.sorted_tables if instance.consumer.metadata is not None else []
    names = ", ".join(f'"{table.name}"' for table in (DELIVERY, JOB, RUN, *own))
    connection.execute(text(f"SET LOCAL lock_timeout = {_PATIENCE_MS}"))
    connection.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))


#: Runs that a refusal names.
_NAMED: Final = 3


def recompute(plan: Plan) -> Filled:
    """Recompute every run of which an event is selected, and return what was done.

    Raises PartialRangeError for runs of which the place has only a part, unless those are to be left as they are, and
    what `fill` raises.
    """
    if plan.instance.consumer.keeps is not None:
        return _from_kept(plan, plan.instance.consumer.keeps)
    plan.require_complete()
    with closing(_Past(plan)) as past:
        chosen = past.chosen()
        partial = [key for key in chosen if past.lacks(key)]
    _require_complete(plan, partial)
    for key in partial:
        del chosen[key]
    plan.filled.runs, plan.filled.left = len(chosen), len(partial)
    # What is counted from here on is what is sent.
    plan.filled.read = plan.filled.unreadable = 0
    begin = min((offset for offset in chosen.values() if offset is not None), default=None)
    again = replace(plan, selection=Selection(runs=chosen.keys()), begin=begin, allow_partial=True)
    if plan.dry_run:
        return fill(again)
    with plan.place.alone():
        for key in chosen:
            reset(plan.store, plan.instance, key)
        return fill(again)


def _from_kept(plan: Plan, kept: KeptEvents) -> Filled:
    """Set the timer that recomputes each run that is selected, from the events that the consumer keeps itself."""
    wanted, filled = plan.selection, plan.filled
    try:
        with plan.store.begin() as connection:
            found = kept.runs(
                connection,
                since=wanted.since,
                until=wanted.until,
                run=wanted.run,
                project=wanted.project,
                kind=wanted.type,
            )
            _require_complete(plan, [one.key for one in found if not one.whole])
            chosen = [one for one in found if one.whole]
            for one in chosen if not plan.dry_run else ():
                now, mark = time.time(), plan.replay.mark
                jobs.schedule(connection, kept.job, str(one.key), now, one.key.values, replay=mark)
    except DBAPIError as error:
        raise unusable(plan.instance.queue, error) from None
    filled.runs, filled.left = len(chosen), len(found) - len(chosen)
    filled.kept = sum(one.events for one in chosen)
    plan.progress(filled)
    return filled


def _require_complete(plan: Plan, partial: Sequence[RunKey]) -> None:
    """Raise PartialRangeError for runs of which not all is kept, unless those are to be left as they are."""
    if not partial or plan.allow_partial:
        return
    named = ", ".join(key.run for key in partial[:_NAMED])
    more = f" and {len(partial) - _NAMED} more" if len(partial) > _NAMED else ""
    raise PartialRangeError(
        f"not all events that {plan.instance.label} has handled of {named}{more} were kept, "
        "and would be missing afterwards: choose other runs, or leave these as they are with --allow-partial"
    )


class _Past:
    """Which events of which runs were kept for one queue: on disk, because they may be millions."""

    def __init__(self, plan: Plan) -> None:
        """Read all that was kept."""
        self._plan = plan
        self._kept = sqlite3.connect("")
        self._kept.execute("CREATE TABLE kept (project, run, id, PRIMARY KEY (project, run, id)) WITHOUT ROWID")
        self._began: dict[RunKey, int | None] = {}
        self._chosen: dict[RunKey, None] = {}
        everything = replace(plan, selection=Selection())
        for offset, message in plan.place.events(None):
            plan.filled.read += 1
            plan.progress(plan.filled)
            event = event_of(everything, message)
            if event is None or plan.selection.run not in {None, event.subject}:
                continue
            key = RunKey.of(event.data.context)
            self._kept.execute("INSERT OR IGNORE INTO kept VALUES (?, ?, ?)", (*key, event.id))
            self._began.setdefault(key, offset)
            selected = plan.selection.wants_key(plan.instance.subscription, message.routing_key)
            if selected and plan.selection.wants(event):
                self._chosen[key] = None

    def chosen(self) -> dict[RunKey, int | None]:
        """Return the runs that are selected, each with the offset of its first event."""
        return {key: self._began[key] for key in self._chosen}

    def lacks(self, key: RunKey) -> bool:
        """Tell whether the queue has handled events of a run that were not kept."""
        try:
            with self._plan.store.begin() as connection:
                handled = deliveries.kept_of_run(connection, key)
        except DBAPIError as error:
            raise unusable(self._plan.instance.queue, error) from None
        kept = {row[0] for row in self._kept.execute("SELECT id FROM kept WHERE project = ? AND run = ?", key)}
        wants = self._plan.instance.subscription.wants
        return any(wants(f"{kind}.project") for event_id, kind in handled.items() if event_id not in kept)

    def close(self) -> None:
        """Forget it."""
        self._kept.close()
