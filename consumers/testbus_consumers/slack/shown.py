"""What a run's message shows: an older state never takes the place of a newer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from testbus_consumers.slack.tables import SHOWN
from testbus_consumers.store.engine import insert

if TYPE_CHECKING:
    from testbus_consumers.runtime import State
    from testbus_schemas import RunContext


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A state of a run, as its message shows it."""

    #: 0 while it runs, 2n for its verdict n, 2n + 1 when this one is open again.
    stage: int
    #: When it was decided, seconds since the epoch: the later of two verdicts on one decision holds.
    told_at: float
    #: Whether there is to be a message.
    wanted: bool
    #: Data of the latest verdict (JSON); None before any.
    verdict: dict[str, Any] | None = None

    @property
    def place(self) -> tuple[int, float]:
        """Return its place in the order of states; while a run runs, one moment is as good as another."""
        return (self.stage, self.told_at if self.stage else 0.0)


def latest(state: State[Any], context: RunContext) -> Shown | None:
    """Return what a run's message shows, or is about to show."""
    query = select(SHOWN).where(SHOWN.c.project == context.project, SHOWN.c.run == context.run)
    row = state.execute(query).one_or_none()
    if row is None:
        return None
    return Shown(stage=row.stage, told_at=row.told_at, wanted=bool(row.wanted), verdict=row.verdict)


def keep(state: State[Any], context: RunContext, shown: Shown) -> None:
    """Keep what is about to be shown: before it is, so that nothing older is shown after it."""
    row = {
        "stage": shown.stage,
        "told_at": shown.told_at,
        "wanted": int(shown.wanted),
        "verdict": shown.verdict,
    }
    statement = insert(state.connection, SHOWN).values(project=context.project, run=context.run, **row)
    state.execute(statement.on_conflict_do_update(index_elements=[SHOWN.c.project, SHOWN.c.run], set_=row))
