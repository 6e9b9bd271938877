"""Which issues stand for the root causes of a run, and where its launches are: every message about it shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from testbus_consumers.slack.tables import LAUNCH, LINK
from testbus_consumers.store.engine import insert
from testbus_schemas import IssueLinked, LaunchLinked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_consumers.runtime import State
    from testbus_schemas import RunContext


def keep(state: State[Any], issue: IssueLinked) -> None:
    """Keep the issue of a root cause."""
    row = {"issue": issue.model_dump(mode="json")}
    this = {"project": issue.context.project, "run": issue.context.run, "fingerprint": issue.fingerprint}
    statement = insert(state.connection, LINK).values(**this, **row)
    state.execute(statement.on_conflict_do_update(index_elements=[LINK.c[name] for name in this], set_=row))


def of_run(state: State[Any], context: RunContext) -> Mapping[str, IssueLinked]:
    """Return a run's issues by fingerprint."""
    query = select(LINK).where(LINK.c.project == context.project, LINK.c.run == context.run)
    rows = state.execute(query.order_by(LINK.c.fingerprint))
    return {row.fingerprint: IssueLinked.model_validate(row.issue) for row in rows}


def keep_launch(state: State[Any], launch: LaunchLinked) -> None:
    """Keep where a run's launch is."""
    this = {"project": launch.context.project, "run": launch.context.run, "target": launch.target}
    row = {"launch": launch.model_dump(mode="json")}
    statement = insert(state.connection, LAUNCH).values(**this, **row)
    state.execute(statement.on_conflict_do_update(index_elements=[LAUNCH.c[name] for name in this], set_=row))


def launches_of(state: State[Any], context: RunContext) -> tuple[LaunchLinked, ...]:
    """Return a run's launches by target."""
    query = select(LAUNCH).where(LAUNCH.c.project == context.project, LAUNCH.c.run == context.run)
    return tuple(LaunchLinked.model_validate(row.launch) for row in state.execute(query.order_by(LAUNCH.c.target)))
