"""What people decide against the rules: kept, and announced when it begins to hold and when it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from testbus_consumers.records.tables import OVERRIDE
from testbus_consumers.runtime import Done, Outcome, Reject, Retry
from testbus_consumers.store.engine import insert_once
from testbus_schemas import Override, OverrideRecorded
from testbus_schemas.context import is_of_project, project_context

if TYPE_CHECKING:
    from testbus_consumers.runs.settings import RunsSettings
    from testbus_consumers.runtime import State
    from testbus_schemas import Event, OverrideRequested

#: Name of the timer that looks whether an override begins or ends.
REVIEW: Final = "override"


def request(event: Event[OverrideRequested], state: State[RunsSettings]) -> Outcome:
    """Keep what a person decided, once; end the override that it ends."""
    override, context = event.data.override, event.data.context
    if override.project != context.project or not is_of_project(context.run):
        return Reject("an override belongs to the project that it is published for, and to no run")
    if fault := override.fault(state.settings.overrides.max_days):
        return Reject(f"{fault} (`overrides.max_days`): decide again")
    row = {
        "project": override.project,
        "id": override.id,
        "kind": override.kind.value,
        "override": override.model_dump(mode="json"),
        "since": override.since.timestamp(),
        "until": None if override.until is None else override.until.timestamp(),
    }
    if state.execute(insert_once(state.connection, OVERRIDE), row).first() is None:
        return Done("known already")
    if override.ends is not None and not _end(override, override.ends, state):
        return Retry(f"override {override.ends}, which it ends, is not known here (yet)")
    _review(override.project, override.id, state)
    return Done()


def review(payload: dict[str, Any], state: State[RunsSettings]) -> Outcome:
    """Announce that an override holds from now on, or does not any more."""
    _review(payload["project"], payload["id"], state)
    return Done()


def _end(by: Override, ended: str, state: State[RunsSettings]) -> bool:
    """End an override of the same project from when on another one holds; False when there is none of that id."""
    this = (OVERRIDE.c.project == by.project, OVERRIDE.c.id == ended)
    row = state.execute(select(OVERRIDE).where(*this).with_for_update()).one_or_none()
    if row is None:
        return False
    if row.ended_at is None or by.since.timestamp() < row.ended_at:
        state.execute(update(OVERRIDE).where(*this).values(ended_at=by.since.timestamp(), ended_by=by.id))
        _review(by.project, ended, state)
    return True


def _review(project: str, override_id: str, state: State[RunsSettings]) -> None:
    """Announce what is different from what was announced last, and set the timer for the next change."""
    this = (OVERRIDE.c.project == project, OVERRIDE.c.id == override_id)
    row = state.execute(select(OVERRIDE).where(*this).with_for_update()).one()
    now = state.now.timestamp()
    end = min((moment for moment in (row.until, row.ended_at) if moment is not None), default=None)
    holds = row.since <= now and (end is None or now < end)
    if holds != bool(row.announced):
        override = Override.model_validate(row.override)
        context = project_context(project, datetime.fromtimestamp(row.since, UTC))
        recorded = OverrideRecorded(context=context, override=override, active=holds)
        state.emit(recorded, counted=[override_id, "begun" if holds else "ended"])
        state.execute(update(OVERRIDE).where(*this).values(announced=holds))
    change = row.since if now < row.since else end
    if change is not None and now < change and (end is None or row.since < end):
        payload = {"project": project, "id": override_id}
        state.schedule(REVIEW, f"{project}/{override_id}", after=timedelta(seconds=change - now), payload=payload)
    else:
        state.cancel(REVIEW, f"{project}/{override_id}")
