"""What `slack` keeps: what each run's message shows, and what has to be known for the next one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    JSON,
    Column,
    Double,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    delete,
    select,
)

from testbus_consumers.runtime import Done, Outcome
from testbus_consumers.store import intents
from testbus_consumers.store.engine import insert
from testbus_consumers.store.run_key import RunKey, rows_of_run, run_columns
from testbus_schemas import GateEvaluated, IssueLinked, LaunchLinked
from testbus_schemas.decisions import Verdict
from testbus_schemas.identity import derived_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbus_consumers.runtime import State
    from testbus_consumers.slack.settings import Severity, SlackSettings
    from testbus_schemas import RunContext

#: Everything that `slack` keeps.
METADATA = MetaData()

#: One row per run: the latest that its message shows, or is about to show.
SHOWN = Table(
    "shown",
    METADATA,
    *run_columns(),
    # place in the order of a run's states: 0 it runs, 1 it is over, 2n its verdict n, 2n + 1 that this one is reopened
    Column("stage", Integer, nullable=False),
    # of two verdicts on the same decision: when it was made, seconds since the epoch
    Column("notified_at", Double, nullable=False),
    # 1 when there is to be a message, 0 when there was no reason for one yet
    Column("wanted", Integer, nullable=False),
    # the data of the latest verdict: a reopened run's message tells what was said before
    Column("verdict", JSON),
    # why it was reopened
    Column("reason", Text),
    # where its message is; NULL while there is to be none
    Column("channel", String(32)),
    # when the run started, seconds since the epoch
    Column("started_at", Double),
    PrimaryKeyConstraint("project", "run"),
)

#: One row per run and root cause: the issue that stands for it.
LINK = Table(
    "link",
    METADATA,
    *run_columns(),
    Column("fingerprint", String(256), nullable=False),
    # the data of the event that told of it
    Column("issue", JSON, nullable=False),
    PrimaryKeyConstraint("project", "run", "fingerprint"),
)

#: One row per run and ReportPortal: its launch there.
LAUNCH = Table(
    "launch",
    METADATA,
    *run_columns(),
    Column("target", String(64), nullable=False),
    # the data of the event that told of it
    Column("launch", JSON, nullable=False),
    PrimaryKeyConstraint("project", "run", "target"),
)

#: One row per project, suite and branch: the verdict of the run that started last.
LATEST = Table(
    "latest",
    METADATA,
    Column("project", String(64), nullable=False),
    Column("suite", String(128), nullable=False),
    # empty for runs that know no branch
    Column("branch", String(256), nullable=False),
    Column("run", String(256), nullable=False),
    # seconds since the epoch
    Column("started_at", Double, nullable=False),
    Column("verdict", String(32), nullable=False),
    # the verdict of the run before it; NULL when there was none
    Column("before", String(32)),
    PrimaryKeyConstraint("project", "suite", "branch"),
)

#: Made once: all that is reported of a run asks them.
_SHOWN_OF: Final = select(SHOWN).where(*rows_of_run(SHOWN))
_LINKS_OF: Final = select(LINK).where(*rows_of_run(LINK)).order_by(LINK.c.fingerprint)
_LAUNCHES_OF: Final = select(LAUNCH).where(*rows_of_run(LAUNCH)).order_by(LAUNCH.c.target)

#: Stages of a run that was not judged yet.
RUNNING, OVER = 0, 1

#: How long a run's row is kept after the last that was heard of it.
_SHOWN_KEPT: Final = timedelta(days=60)

#: Name of the timer that deletes what is kept of a run.
DELETE_SHOWN: Final = "delete"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A state of a run, as its message shows it."""

    #: RUNNING, OVER, 2n for its verdict n, 2n + 1 when this one is open again.
    stage: int
    #: When it was decided, seconds since the epoch: the later of two verdicts on one decision holds.
    notified_at: float
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
        return (self.stage, self.notified_at if self.stage > OVER else 0.0)


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
    before = latest_shown(state, context)
    if before is not None and before.place > new.place:
        return None
    wanted = wants() or (before is not None and before.wanted)
    new = replace(new, verdict=new.verdict or (before.verdict if before else None))
    return _keep_shown(state, context, before, replace(new, wanted=wanted))


def join(state: State[SlackSettings], context: RunContext, notified_at: float, *, wanted: bool, posted: bool) -> Shown:
    """Return what a run's message shows or is about to show, where something is to be reported beside it.

    `wanted` makes this a reason for a message, and `posted` tells that it is there already; `notified_at` is when this
    was found, in seconds since the epoch.
    """
    before = latest_shown(state, context)
    if before is not None and before.wanted and posted:
        # Its state and its channel stay as they are.
        return before
    before = before or Shown(stage=OVER, notified_at=notified_at)
    return _keep_shown(state, context, before, replace(before, wanted=wanted or before.wanted))


def _schedule_deletion(state: State[Any], context: RunContext) -> None:
    """Forget a run once nothing has been heard of it for long."""
    this = {"project": context.project, "run": context.run}
    state.schedule(DELETE_SHOWN, derived_id(*this.values()), after=_SHOWN_KEPT, payload=this)


def delete_shown(payload: Mapping[str, Any], state: State[SlackSettings]) -> Outcome:
    """Forget a run of which nothing has been heard for long."""
    for table in (SHOWN, LINK, LAUNCH):
        state.execute(delete(table).where(*RunKey(payload["project"], payload["run"]).rows(table)))
    return Done()


def latest_shown(state: State[SlackSettings], context: RunContext) -> Shown | None:
    """Return what a run's message shows or is about to show; None for a run that nothing is known of."""
    row = state.execute(_SHOWN_OF, RunKey.of(context).values).one_or_none()
    if row is None:
        return None
    # A message from before there were routes is in the only channel that there was.
    channel = row.channel or (state.settings.channel if row.wanted else None)
    return Shown(
        stage=row.stage,
        notified_at=row.notified_at,
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


def _keep_shown(state: State[SlackSettings], context: RunContext, before: Shown | None, new: Shown) -> Shown:
    """Keep what is about to be shown: before it is, so that nothing older is shown after it."""
    channel = before.channel if before else None
    if new.wanted and state.settings.channel is not None and not intents.begun(state.connection, shown_as(context)):
        # Only what was posted, or may have been, has its place: a wrong channel may have been corrected meanwhile.
        judged = GateEvaluated.model_validate(new.verdict) if new.verdict else None
        channel = state.settings.channel_of(context, severity_of(judged) if judged else None)
    new = replace(new, channel=channel)
    row = {
        "stage": new.stage,
        "notified_at": new.notified_at,
        "wanted": int(new.wanted),
        "verdict": new.verdict,
        "reason": new.reason,
        "channel": channel,
        "started_at": context.started_at.timestamp(),
    }
    statement = insert(state.connection, SHOWN).values(project=context.project, run=context.run, **row)
    state.execute(statement.on_conflict_do_update(index_elements=[SHOWN.c.project, SHOWN.c.run], set_=row))
    _schedule_deletion(state, context)
    return new


def keep_issue(state: State[Any], issue: IssueLinked) -> None:
    """Keep the issue of a root cause."""
    row = {"issue": issue.model_dump(mode="json")}
    this = {"project": issue.context.project, "run": issue.context.run, "fingerprint": issue.fingerprint}
    statement = insert(state.connection, LINK).values(**this, **row)
    state.execute(statement.on_conflict_do_update(index_elements=[LINK.c[name] for name in this], set_=row))


def issues_of(state: State[Any], context: RunContext) -> Mapping[str, IssueLinked]:
    """Return a run's issues by fingerprint."""
    rows = state.execute(_LINKS_OF, RunKey.of(context).values)
    return {row.fingerprint: IssueLinked.model_validate(row.issue) for row in rows}


def keep_launch(state: State[Any], launch: LaunchLinked) -> None:
    """Keep where a run's launch is."""
    this = {"project": launch.context.project, "run": launch.context.run, "target": launch.target}
    row = {"launch": launch.model_dump(mode="json")}
    statement = insert(state.connection, LAUNCH).values(**this, **row)
    state.execute(statement.on_conflict_do_update(index_elements=[LAUNCH.c[name] for name in this], set_=row))


def launches_of(state: State[Any], context: RunContext) -> tuple[LaunchLinked, ...]:
    """Return a run's launches by target."""
    rows = state.execute(_LAUNCHES_OF, RunKey.of(context).values)
    return tuple(LaunchLinked.model_validate(row.launch) for row in rows)


#: How long a branch that has no runs any more is remembered.
_LATEST_KEPT: Final = timedelta(days=180)


def differs(state: State[Any], data: GateEvaluated) -> bool:
    """Enter a run's verdict, and tell whether it differs from that of the run that started before it.

    The first verdict of all differs when it is not passed. One on a run that was cancelled says nothing of its branch,
    and is not entered. Of a run that started before one that is known already,
    nothing is to be reported: what holds now has been.
    """
    if data.cancelled:
        return False
    context, verdict = data.context, data.verdict.value
    this = {"project": context.project, "suite": context.suite, "branch": context.branch or ""}
    started_at = context.started_at.timestamp()
    known = state.execute(
        select(LATEST).where(*(LATEST.c[name] == value for name, value in this.items()))
    ).one_or_none()
    if known is not None and known.run != context.run and known.started_at > started_at:
        return False
    before = None if known is None else known.before if known.run == context.run else known.verdict
    row = {"run": context.run, "started_at": started_at, "verdict": verdict, "before": before}
    statement = insert(state.connection, LATEST).values(**this, **row)
    state.execute(statement.on_conflict_do_update(index_elements=[LATEST.c[name] for name in this], set_=row))
    if known is None:
        state.execute(delete(LATEST).where(LATEST.c.started_at < (state.now - _LATEST_KEPT).timestamp()))
    return verdict != (before or Verdict.PASSED.value)
