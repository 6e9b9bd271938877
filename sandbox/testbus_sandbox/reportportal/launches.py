"""ReportPortal's rules for launches: start, rerun, finish, stop, update."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from testbus_sandbox.reportportal import fields, statuses
from testbus_sandbox.reportportal.items import DESCRIPTION, described, find_launch
from testbus_sandbox.reportportal.models import IN_PROGRESS, Attribute, LaunchRecord
from testbus_sandbox.reportportal.refusals import (
    FINISH_EARLIER_THAN_START,
    FINISH_LAUNCH_NOT_ALLOWED,
    LAUNCH_IS_NOT_FINISHED,
    LAUNCH_NOT_FOUND,
    refuse,
)

if TYPE_CHECKING:
    from testbus_sandbox.reportportal.request_models import Finish, StartLaunch, Update
    from testbus_sandbox.reportportal.store import Store

#: What stopping appends to the description.
STOPPED = " stopped"


def start(store: Store, request: StartLaunch) -> LaunchRecord:
    """Start a launch, or an old one again; raise ReportPortalError 4041 (rerun of nothing) or 5000 (uuid taken)."""
    if request.rerun:
        return _start_again(store, request)
    launch = LaunchRecord(
        id=store.next_id("launch"),
        uuid=request.uuid if request.uuid is not None else str(uuid4()),
        number=store.next_launch_number(request.name),
        name=request.name,
        mode=request.mode or "DEFAULT",
        start_time=request.start_time,
        last_modified=store.now(),
        description=described(None, request.description),
        attributes=list(request.attributes or ()),
    )
    store.add_launch(launch)
    return launch


def rerun_of(store: Store, request: StartLaunch) -> LaunchRecord:
    """Return the launch that a rerun continues: the one named, or the latest of that name."""
    launch = store.launch_by_uuid.get(request.rerun_of) if request.rerun_of else store.latest.get(request.name)
    if launch is None:
        raise refuse(LAUNCH_NOT_FOUND, request.rerun_of or request.name, missing=request.rerun_of)
    return launch


def finish(store: Store, uuid: str, request: Finish) -> LaunchRecord:
    """Finish a launch; what is in progress in it is interrupted. Raise ReportPortalError 4041, 40023 or 40021."""
    launch = find_launch(store, uuid)
    _check_finish(launch, request)
    interrupted = statuses.finish_descendants(store, launch, request.status or "INTERRUPTED", request.end_time)
    computed = statuses.computed(launch)
    launch.status = computed if interrupted or request.status is None else request.status
    launch.end_time = request.end_time
    if request.description is not None:
        joined = f"{launch.description} {request.description}" if launch.description else request.description
        launch.description = described(None, joined)
    statuses.add_attributes(launch, request.attributes or ())
    launch.last_modified = store.now()
    return launch


def stop(store: Store, launch_id: int, request: Finish) -> LaunchRecord:
    """Stop a launch as a person does; raise ReportPortalError 4041, 40023 or 40021."""
    launch = find_by_id(store, launch_id)
    _check_finish(launch, request)
    text = request.description if request.description is not None else (launch.description or "")
    launch.description = (text + STOPPED).strip()[:DESCRIPTION]
    launch.status = request.status or "STOPPED"
    launch.end_time = request.end_time
    statuses.add_attributes(launch, (*(request.attributes or ()), Attribute("status", "stopped")))
    now = store.now()
    for item in list(launch.in_progress.values()):
        store.set_status(item, "INTERRUPTED")
        item.end_time = now
    launch.last_modified = now
    return launch


def update(store: Store, launch_id: int, request: Update) -> LaunchRecord:
    """Change mode, description and attributes; attributes replace all but the system's."""
    launch = find_by_id(store, launch_id)
    launch.mode = request.mode or launch.mode
    launch.description = described(launch.description, request.description)
    if request.attributes is not None:
        kept = [attribute for attribute in launch.attributes if attribute.system]
        launch.attributes = [*kept, *(replace(attribute, system=False) for attribute in request.attributes)]
    launch.last_modified = store.now()
    return launch


def delete(store: Store, launch_id: int) -> None:
    """Delete a launch as a person does; raise ReportPortalError 4041, or 40024 while it is in progress."""
    launch = find_by_id(store, launch_id)
    if launch.status == IN_PROGRESS:
        raise refuse(LAUNCH_IS_NOT_FINISHED, f"Unable to delete launch '{launch_id}' in progress state")
    store.remove_launch(launch)


def find_by_id(store: Store, launch_id: int) -> LaunchRecord:
    """Return the launch of that number; raise ReportPortalError 4041 when there is none."""
    launch = store.launches.get(launch_id)
    if launch is None:
        raise refuse(LAUNCH_NOT_FOUND, launch_id)
    return launch


def _start_again(store: Store, request: StartLaunch) -> LaunchRecord:
    """Put the launch of a rerun back in progress, under the new uuid if there is one."""
    launch = rerun_of(store, request)
    if request.uuid is not None:
        store.rename(launch, request.uuid)
    launch.status = IN_PROGRESS
    launch.rerun = True
    launch.mode = request.mode or launch.mode
    launch.description = described(launch.description, request.description)
    statuses.add_attributes(launch, request.attributes or ())
    launch.last_modified = store.now()
    return launch


def _check_finish(launch: LaunchRecord, request: Finish) -> None:
    """Refuse a second finish, and an end before the start."""
    if launch.status != IN_PROGRESS:
        raise refuse(FINISH_LAUNCH_NOT_ALLOWED, f"Launch '{launch.id}' already finished with status '{launch.status}'")
    if request.end_time < launch.start_time:
        instants = fields.iso(request.end_time), fields.iso(launch.start_time)
        raise refuse(FINISH_EARLIER_THAN_START, *instants, launch.id)
