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
        partial = [run for run in chosen if past.lacks(run)]
    if partial and not plan.allow_partial:
        more = f" and {len(partial) - _NAMED} more" if len(partial) > _NAMED else ""
        raise PartialRangeError(
            f"not all events that {plan.instance.label} has handled of {', '.join(partial[:_NAMED])}{more} were kept, "
            "and would be missing afterwards: choose other runs, or leave these as they are with --allow-partial"
        )
    for run in partial:
        del chosen[run]
    plan.filled.runs, plan.filled.left = len(chosen), len(partial)
    # What is counted from here on is what is sent.
    plan.filled.read = plan.filled.unreadable = 0
    begin = min((offset for offset in chosen.values() if offset is not None), default=None)
    again = replace(plan, selection=Selection(runs=chosen.keys()), begin=begin, allow_partial=True)
    if plan.dry_run:
        return fill(again)
    with plan.place.alone():
        for run in chosen:
            reset(plan.store, plan.instance, run)
        return fill(again)


class _Past:
    """Which events of which runs were kept for one queue: on disk, because they may be millions."""

    def __init__(self, plan: Plan) -> None:
        """Read all that was kept."""
        self._plan = plan
        self._kept = sqlite3.connect("")
        self._kept.execute("CREATE TABLE kept (run, id, PRIMARY KEY (run, id)) WITHOUT ROWID")
        self._began: dict[str, int | None] = {}
        self._chosen: dict[str, None] = {}
        everything = replace(plan, selection=Selection())
        for offset, message in plan.place.events(None):
            plan.filled.read += 1
            plan.progress(plan.filled)
            event = event_of(everything, message)
            if event is None or plan.selection.run not in {None, event.subject}:
                continue
            self._kept.execute("INSERT OR IGNORE INTO kept VALUES (?, ?)", (event.subject, event.id))
            self._began.setdefault(event.subject, offset)
            selected = plan.selection.wants_key(plan.instance.subscription, message.routing_key)
            if selected and plan.selection.wants(event):
                self._chosen[event.subject] = None

    def chosen(self) -> dict[str, int | None]:
        """Return the runs that are selected, each with the offset of its first event."""
        return {run: self._began[run] for run in self._chosen}

    def lacks(self, run: str) -> bool:
        """Tell whether the queue has handled events of a run that were not kept."""
        try:
            with self._plan.store.begin() as connection:
                handled = deliveries.kept_of_run(connection, run)
        except DBAPIError as error:
            raise unusable(self._plan.instance.queue, error) from None
        kept = {row[0] for row in self._kept.execute("SELECT id FROM kept WHERE run = ?", (run,))}
        wants = self._plan.instance.subscription.wants
        return any(wants(f"{kind}.project") for event_id, kind in handled.items() if event_id not in kept)

    def close(self) -> None:
        """Forget it."""
        self._kept.close()
