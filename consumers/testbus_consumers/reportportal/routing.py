"""Which runs a target gets, beyond its filters: all, its share of them, or those that no better target can take.

Nothing is agreed between the workers of different targets. A share follows from the run's id alone. A standby asks the
better targets when it first hears of a run and remembers the answer; the better targets report everything whatever a
standby does, so that each of them ends up complete.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from testbus_consumers.reportportal.settings import TargetMode
from testbus_consumers.reportportal.state import ROUTE, _schedule_deletion
from testbus_consumers.store.engine import insert
from testbus_consumers.store.run_key import RunKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_consumers.reportportal.client import PortalEffects
    from testbus_consumers.reportportal.settings import ReportPortalTarget
    from testbus_consumers.runtime import State
    from testbus_schemas import RunContext

#: Bytes of a hash that stand for a number between 0 and 1.
_BYTES: Final = 7


def left_out(effects: PortalEffects, context: RunContext) -> str | None:
    """Return why a run is not reported here, None when it is; a standby may ask other targets."""
    settings = effects.settings
    if why := settings.leaves_out(context):
        return why
    if settings.mode is TargetMode.BALANCE and (name := share_of(settings, context)) != settings.name:
        return f"left out: balanced to {name}"
    if settings.mode is TargetMode.FAILOVER and (name := _taken_by(effects, context)):
        return f"left out: {name} takes it"
    return None


def share_of(settings: ReportPortalTarget, context: RunContext) -> str:
    """Return the name of the target that a run is balanced to, among those that run and whose filters let it through.

    Rendezvous hashing: every worker finds the same one, and a target that comes or goes moves its own share only.
    """
    taking = {settings.name: settings, **_others(settings, TargetMode.BALANCE, context)}
    return max(taking, key=lambda name: (_score(name, taking[name].weight, context), name))


def _score(name: str, weight: float, context: RunContext) -> float:
    """Return a number that is the largest one for each target in proportion to its weight."""
    text = f"{name}\0{context.project}\0{context.run}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:_BYTES], "big")
    return -weight / math.log((number + 1) / (256**_BYTES + 1))


def _taken_by(effects: PortalEffects, context: RunContext) -> str:
    """Return the name of the better target that takes a run, "" for none: decided once, when the run is new here.

    A replay decides anew of a run that was left out, since who asks for it may know that the better target is lost.
    """
    better = _better(effects.settings, context)
    if not better:
        return ""
    with effects.transaction() as state:
        row = state.execute(_decision(context)).one_or_none()
    if row is not None and (not row.taken_by or not effects.replay or row.replay == effects.replay):
        return str(row.taken_by)
    found = next((name for name in better if effects.client.others.usable(name)), "")
    with effects.transaction() as state:
        return _decided(state, context, found, effects.replay)


def _better(settings: ReportPortalTarget, context: RunContext) -> Sequence[str]:
    """Return the names of the targets that a run goes to rather than here, the best one first."""
    others = _others(settings, TargetMode.FAILOVER, context)
    return sorted(
        (name for name, other in others.items() if other.priority < settings.priority),
        key=lambda name: others[name].priority,
    )


def _others(settings: ReportPortalTarget, mode: TargetMode, context: RunContext) -> dict[str, ReportPortalTarget]:
    """Return the other targets of a mode that run and whose filters let a run through."""
    return {
        name: other
        for name, other in settings.others.items()
        if other.enabled and other.mode is mode and other.leaves_out(context) is None
    }


def _decision(context: RunContext) -> Any:
    return select(ROUTE.c.taken_by, ROUTE.c.replay).where(*RunKey.of(context).rows(ROUTE))


def _decided(state: State[ReportPortalTarget], context: RunContext, found: str, replay: str) -> str:
    """Keep a decision and return the one that holds: of workers that decide at once, the first one's."""
    row = {"taken_by": found, "replay": replay}
    statement = insert(state.connection, ROUTE).values(project=context.project, run=context.run, **row)
    state.execute(
        statement.on_conflict_do_update(
            index_elements=[ROUTE.c.project, ROUTE.c.run],
            set_=row,
            where=(ROUTE.c.taken_by != "") & (ROUTE.c.replay != replay),
        )
    )
    _schedule_deletion(state, context.project, context.run)
    return str(state.execute(_decision(context)).one().taken_by)
