"""Recomputing runs: their rows and marks are reset, and all of their events are sent again.

The order is what makes it safe. First it is seen that every event of a run that the queue has handled was kept.
Then run after run is reset, each in one transaction that no handler's overlaps. Only then is the past read up to its
end, and sent as a gap is filled: whatever a reset took away had been published before, and so is read. What comes live
in between is handled once, by whichever delivery is first. A crash anywhere leaves a gap, which the same call closes.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError

from testbus_consumers.replay.filling import event_of, fill
from testbus_consumers.replay.resetting import reset
from testbus_consumers.replay.selection import PartialRangeError, Selection
from testbus_consumers.store import deliveries
from testbus_consumers.store.engine import unusable
from testbus_consumers.store.run_key import RunKey

if TYPE_CHECKING:
    from testbus_consumers.replay.plan import Filled, Plan

#: Runs that a refusal names.
_NAMED: Final = 3


def recompute(plan: Plan) -> Filled:
    """Recompute every run of which an event is selected, and return what was done.

    Raises PartialRangeError for runs of which the place has only a part, unless those are to be left as they are, and
    what `fill` raises.
    """
    plan.demand_whole()
    with closing(_Past(plan)) as past:
        chosen = past.chosen()
        partial = [key for key in chosen if past.lacks(key)]
    if partial and not plan.allow_partial:
        named = ", ".join(key.run for key in partial[:_NAMED])
        more = f" and {len(partial) - _NAMED} more" if len(partial) > _NAMED else ""
        raise PartialRangeError(
            f"not all events that {plan.instance.label} has handled of {named}{more} were kept, "
            "and would be missing afterwards: choose other runs, or leave these as they are with --allow-partial"
        )
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
