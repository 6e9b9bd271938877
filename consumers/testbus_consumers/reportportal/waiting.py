"""How long an event has waited for what has to come first: not by its age, which a target that was down adds to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select

from testbus_consumers.reportportal.tables import WAITING
from testbus_consumers.runtime import Done, Outcome
from testbus_consumers.store.engine import insert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_consumers.reportportal.launches import Scope
    from testbus_consumers.runtime import State

#: After so long an event is dealt with although what belongs before it is not there.
PATIENCE: Final = timedelta(minutes=10)

#: Name of the timer that forgets how long an event has waited.
FORGET: Final = "forget_waiting"

#: How long that is remembered.
_KEPT: Final = timedelta(days=7)


def begin(effects: Scope) -> None:
    """Write down that the event that is handled waits, unless it does already."""
    with effects.transaction() as state:
        row = {"event": effects.cause, "since": effects.clock()}
        state.execute(insert(state.connection, WAITING).values(**row).on_conflict_do_nothing())
        state.schedule(FORGET, effects.cause, after=_KEPT, payload={"event": effects.cause})


def enough(effects: Scope) -> bool:
    """Tell whether the event that is handled has waited long enough."""
    with effects.transaction() as state:
        since = state.execute(select(WAITING.c.since).where(WAITING.c.event == effects.cause)).scalar()
    return since is not None and effects.clock() - since >= PATIENCE.total_seconds()


def forget(payload: Mapping[str, Any], state: State[Any]) -> Outcome:
    """Forget how long an event has waited."""
    state.execute(delete(WAITING).where(WAITING.c.event == payload["event"]))
    return Done()
