"""What a run's message shows: an older state never takes the place of a newer one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select

from testbus_consumers.runtime import Done, Outcome
from testbus_consumers.slack.tables import LAUNCH, LINK, SHOWN
from testbus_consumers.store import intents
from testbus_consumers.store.engine import insert
from testbus_schemas import GateEvaluated
from testbus_schemas.decisions import Verdict
from testbus_schemas.identity import derived_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbus_consumers.runtime import State
    from testbus_consumers.slack.settings import Severity, SlackSettings
    from testbus_schemas import RunContext

#: Stages of a run that was not judged yet.
RUNNING, OVER = 0, 1

#: How long a run's row is kept after the last that was heard of it.
_KEPT: Final = timedelta(days=60)

#: Name of the timer that forgets a run.
FORGET: Final = "forget"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A state of a run, as its message shows it."""

    #: RUNNING, OVER, 2n for its verdict n, 2n + 1 when this one is open again.
    stage: int
    #: When it was decided, seconds since the epoch: the later of two verdicts on one decision holds.
    told_at: float
    #: Whether there is to be a message.
    wanted: bool = False
    #: Data of the latest verdict (JSON); None before any.
    verdict: dict[str, Any] | None = None
    #: Why it is open again.
    reason: str = ""
    #: Where its message is; None while there is to be none.
    channel: str | None = None

    @property
    def place(self) -> tuple[int, float]:
        """Return its place in the order of states; until a run is judged, one moment is as good as another."""
        return (self.stage, self.told_at if self.stage > OVER else 0.0)


def advance(
    state: State[SlackSettings],
    context: RunContext,
    new: Shown,
    *,
    wants: Callable[[], bool],
) -> Shown | None:
    """Bring a run to a state, and return what is to be shown then; None when it is in a later one already.

    `wants` tells whether the new state alone is a reason for a message; a run that had one before keeps it.
    """
    before = latest(state, context)
    if before is not None and before.place > new.place:
        return None
    wanted = wants() or (before is not None and before.wanted)
    new = replace(new, verdict=new.verdict or (before.verdict if before else None))
    return _keep(state, context, before, replace(new, wanted=wanted))


def join(state: State[SlackSettings], context: RunContext, told_at: float, *, wanted: bool) -> Shown:
    """Return what a run's message shows or is about to show, where something is to be told beside it.

    `wanted` makes this a reason for a message; `told_at` is when it was found, in seconds since the epoch.
    """
    before = latest(state, context) or Shown(stage=OVER, told_at=told_at)
    return _keep(state, context, before, replace(before, wanted=wanted or before.wanted))


def forget_later(state: State[Any], context: RunContext) -> None:
    """Forget a run once nothing has been heard of it for long."""
    this = {"project": context.project, "run": context.run}
    state.schedule(FORGET, derived_id(*this.values()), after=_KEPT, payload=this)


def forget(payload: Mapping[str, Any], state: State[SlackSettings]) -> Outcome:
    """Forget a run of which nothing has been heard for long."""
    for table in (SHOWN, LINK, LAUNCH):
        state.execute(delete(table).where(table.c.project == payload["project"], table.c.run == payload["run"]))
    return Done()


def latest(state: State[SlackSettings], context: RunContext) -> Shown | None:
    """Return what a run's message shows or is about to show; None for a run that nothing is known of."""
    query = select(SHOWN).where(SHOWN.c.project == context.project, SHOWN.c.run == context.run)
    row = state.execute(query).one_or_none()
    if row is None:
        return None
    # A message from before there were routes is in the only channel that there was.
    channel = row.channel or (state.settings.channel if row.wanted else None)
    return Shown(
        stage=row.stage,
        told_at=row.told_at,
        wanted=bool(row.wanted),
        verdict=row.verdict,
        reason=row.reason or "",
        channel=channel,
    )


def shown_as(context: RunContext) -> str:
    """Return the key under which a run's message is posted once."""
    return f"message:{context.project}:{context.run}"


def severity_of(verdict: GateEvaluated) -> Severity | None:
    """Return which of the routes' severities a verdict has, None for one that is nothing to speak of."""
    if verdict.cancelled:
        return None
    if verdict.verdict is Verdict.PASSED:
        return "warn" if any(rule.outcome == "failed" for rule in verdict.rules) else None
    return "block" if verdict.verdict is Verdict.FAILED else "incomplete"


def _keep(state: State[SlackSettings], context: RunContext, before: Shown | None, new: Shown) -> Shown:
    """Keep what is about to be shown: before it is, so that nothing older is shown after it."""
    channel = before.channel if before else None
    if new.wanted and state.settings.channel is not None and not intents.begun(state.connection, shown_as(context)):
        # Only what was posted, or may have been, has its place: a wrong channel may have been corrected meanwhile.
        judged = GateEvaluated.model_validate(new.verdict) if new.verdict else None
        channel = state.settings.channel_of(context, severity_of(judged) if judged else None)
    new = replace(new, channel=channel)
    row = {
        "stage": new.stage,
        "told_at": new.told_at,
        "wanted": int(new.wanted),
        "verdict": new.verdict,
        "reason": new.reason,
        "channel": channel,
        "started_at": context.started_at.timestamp(),
    }
    statement = insert(state.connection, SHOWN).values(project=context.project, run=context.run, **row)
    state.execute(statement.on_conflict_do_update(index_elements=[SHOWN.c.project, SHOWN.c.run], set_=row))
    forget_later(state, context)
    return new
