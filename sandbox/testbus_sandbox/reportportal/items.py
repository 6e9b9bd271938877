"""ReportPortal's rules for test items: start, finish, update, triage.

They are those of service-api's StartTestItemHandlerImpl, FinishTestItemHandlerImpl and UpdateTestItemHandlerImpl.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from testbus_sandbox.reportportal import defects, fields, statuses
from testbus_sandbox.reportportal.models import ABOVE_STEP, IN_PROGRESS, ItemRecord, LaunchRecord
from testbus_sandbox.reportportal.refusals import (
    AMBIGUOUS_STATUS,
    BAD_REQUEST,
    CHILD_EARLIER_THAN_PARENT,
    CHILD_OF_A_RETRY,
    INCORRECT_REQUEST,
    ISSUE_TYPE_UNRESOLVED,
    ITEM_NOT_FOUND,
    LAUNCH_NOT_FOUND,
    RETRIES_HANDLER,
    refuse,
)
from testbus_sandbox.reportportal.store import case_identity, unique_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_sandbox.reportportal.models import Issue, LaunchRecord
    from testbus_sandbox.reportportal.request_models import Finish, StartItem, Update
    from testbus_sandbox.reportportal.store import Store


def predecessor(store: Store, item: ItemRecord, retry_of: str | None) -> ItemRecord:
    """Return the attempt that a new one replaces: the one named, or the last with the same unique id.

    Raise ReportPortalError 4043 when there is none.
    """
    named = store.item_by_uuid.get(retry_of) if retry_of else None
    found = named or _same_unique_id(store, item)
    if found is None:
        raise refuse(ITEM_NOT_FOUND, item.unique_id, missing=retry_of or item.unique_id)
    return found


def supersede(store: Store, previous: ItemRecord, item: ItemRecord) -> None:
    """Make `previous`, and what it replaced before, retries of `item`; raise ReportPortalError 40036 for a circle."""
    if previous is item:
        raise refuse(RETRIES_HANDLER, "Previous and new parent 'id' should not be equal")
    if item.retry_of is not None:
        raise refuse(RETRIES_HANDLER, "Parent item should not be a retry")
    earlier = list(previous.retries)
    previous.retries.clear()
    if previous.retry_of is not None:
        previous.retry_of.retries.remove(previous)
    store.make_retry(previous, item)
    for retry in earlier:
        store.make_retry(retry, item)
    item.launch.has_retries = True


def attach_finished(store: Store, item: ItemRecord, retry_of: str | None) -> None:
    """Let an item that says only at its finish that it is a retry take its predecessor's place, if there is one."""
    named = store.item_by_uuid.get(retry_of) if retry_of else None
    previous = named or _same_unique_id(store, item)
    if previous is not None:
        supersede(store, previous, item)


def rerun_root(store: Store, launch: LaunchRecord, request: StartItem) -> ItemRecord | None:
    """Return the root item of the same test case and name, started again; None when there is none."""
    known = _same_case(store, launch, None, request)
    if known is None or known.name != request.name:
        return None
    return _start_again(store, known, request)


def rerun_child(store: Store, launch: LaunchRecord, parent: ItemRecord, request: StartItem) -> ItemRecord | None:
    """Return the child of the same test case: with children it is started again, without them it is to be replaced."""
    known = _same_case(store, launch, parent, request)
    if known is None or not known.has_children:
        return known
    return _start_again(store, known, request) if known.name == request.name else None


def _start_again(store: Store, item: ItemRecord, request: StartItem) -> ItemRecord:
    """Put an item of a rerun back in progress, under the new uuid if there is one."""
    if request.uuid is not None:
        store.rename(item, request.uuid)
    store.set_status(item, IN_PROGRESS)
    if request.description is not None:
        item.description = request.description
    kept = [attribute for attribute in item.attributes if attribute.system]
    item.attributes = [*kept, *request.attributes]
    return item


def _same_case(store: Store, launch: LaunchRecord, parent: ItemRecord | None, request: StartItem) -> ItemRecord | None:
    """Return the last item of that parent with the test case of the request."""
    case = request.test_case_id
    if case is None and request.code_ref is not None:
        values = ",".join(value for _, value in request.parameters)
        case = f"{request.code_ref}[{values}]" if request.parameters else request.code_ref
    value = case_identity(case, parent, request.name, request.parameters)
    return store.alike(by="case", launch=launch, parent=parent, value=value)


def _same_unique_id(store: Store, item: ItemRecord) -> ItemRecord | None:
    """Return the last other item of the same parent with the same unique id."""
    return store.alike(by="unique", launch=item.launch, parent=item.parent, value=item.unique_id, but=item)


#: Longest description of a launch or an item, in characters; the rest is cut without a word.
DESCRIPTION: Final = 2048

#: Items on one path, at most.
MAX_DEPTH: Final = 64


def start_root(store: Store, request: StartItem) -> ItemRecord:
    """Start an item directly under a launch, finished or not; raise ReportPortalError 4041, 40025, 40016 or 5000."""
    launch = find_launch(store, request.launch_uuid)
    if request.start_time < launch.start_time:
        raise _too_early(request, launch)
    if request.retry:
        raise refuse(BAD_REQUEST, "Root test item can't be a retry.")
    if launch.rerun and (known := rerun_root(store, launch, request)) is not None:
        return known
    item = _new(store, launch, None, request)
    store.add_item(item)
    return item


def start_child(store: Store, parent_uuid: str, request: StartItem) -> ItemRecord:
    """Start an item under another; raise ReportPortalError 4041, 4043, 40016, 40025, 40041 or 5000."""
    launch = find_launch(store, request.launch_uuid)
    parent = find_item(store, parent_uuid)
    if launch.rerun and request.has_stats and (known := rerun_child(store, launch, parent, request)):
        if known.has_children:
            return known
        _check_parent(parent, request)
        return _replace(store, known, _new(store, launch, parent, request))
    _check_parent(parent, request)
    item = _new(store, launch, parent, request)
    if request.retry or request.retry_of:
        _replace(store, predecessor(store, item, request.retry_of), item)
    else:
        store.add_item(item)
    parent.has_children = parent.has_children or request.has_stats
    return item


def finish(store: Store, uuid: str, request: Finish) -> ItemRecord:
    """Finish an item, or overwrite what a finished one has; raise ReportPortalError 4043, 40019 or 40020."""
    item = find_item(store, uuid)
    above_step = item.type in ABOVE_STEP
    if request.status is None and not above_step:
        raise refuse(
            AMBIGUOUS_STATUS,
            "There is no status provided from request and there are no descendants to check statistics "
            f"for test item id '{item.id}'",
        )
    if item.has_children or above_step:
        _finish_parent(store, item, request)
    else:
        _finish_leaf(store, item, request)
    item.end_time = request.end_time
    statuses.remove_interrupted(item)
    statuses.add_attributes(item, request.attributes or ())
    item.description = described(item.description, request.description)
    item.test_case_id = request.test_case_id if request.test_case_id is not None else item.test_case_id
    alone = not item.has_children and not item.retries and item.retry_of is None
    if (request.retry or request.retry_of) and item.parent and alone:
        attach_finished(store, item, request.retry_of)
    return item


def update(store: Store, item_id: int, request: Update) -> ItemRecord:
    """Change a finished item as a person does; attributes replace all but the system's."""
    item = find_item_by_id(store, item_id)
    if request.status is not None and request.status in {IN_PROGRESS, "TO_RUN", *statuses.CHANGEABLE, *_OTHER}:
        _update_status(store, item, request.status)
    if request.attributes is not None:
        kept = [attribute for attribute in item.attributes if attribute.system]
        item.attributes = [*kept, *(replace(attribute, system=False) for attribute in request.attributes)]
    item.description = described(item.description, request.description)
    return item


def triage(store: Store, definitions: Sequence[tuple[int, Issue]]) -> list[Issue]:
    """Set the issues of finished items that have one, as a person's triage does; raise ReportPortalError 40020."""
    errors = []
    for item_id, issue in definitions:
        item = store.items.get(item_id)
        if item is None:
            errors.append(f"Cannot update issue type for test item '{item_id}', cause it is not found.")
        elif item.issue is None:
            errors.append(
                f"Issue status update cannot be applied on {item.status} test items, cause it is not allowed."
            )
        else:
            item.issue = replace(issue, issue_type=store.defects.resolve(issue.issue_type).locator)
    if errors or not definitions:
        raise refuse(ISSUE_TYPE_UNRESOLVED, f"[{', '.join(errors)}]")
    return [issue for _, issue in definitions]


def delete_type(store: Store, number: int) -> None:
    """Remove a defect type of the project's own; raise ReportPortalError 40416 or 40010."""
    gone, kept = store.defects.delete(number)
    for item in store.items.values():
        if item.issue is not None and item.issue.issue_type == gone.locator:
            item.issue = replace(item.issue, issue_type=kept.locator)


#: Statuses that exist and that no strategy changes an item to.
_OTHER: Final = frozenset({"STOPPED", "INTERRUPTED", "CANCELLED"})


def find_launch(store: Store, uuid: str) -> LaunchRecord:
    """Return the launch of that uuid; raise ReportPortalError 4041 when there is none."""
    launch = store.launch_by_uuid.get(uuid)
    if launch is None:
        raise refuse(LAUNCH_NOT_FOUND, uuid, missing=uuid)
    return launch


def find_item(store: Store, uuid: str) -> ItemRecord:
    """Return the item of that uuid; raise ReportPortalError 4043 when there is none."""
    item = store.item_by_uuid.get(uuid)
    if item is None:
        raise refuse(ITEM_NOT_FOUND, uuid, missing=uuid)
    return item


def find_item_by_id(store: Store, item_id: int) -> ItemRecord:
    """Return the item of that number; raise ReportPortalError 4043 when there is none."""
    item = store.items.get(item_id)
    if item is None:
        raise refuse(ITEM_NOT_FOUND, item_id)
    return item


def described(old: str | None, new: str | None) -> str | None:
    """Return the description after a request: trimmed and cut, or the old one when the request has none."""
    return old if new is None else new.strip()[:DESCRIPTION]


def _new(store: Store, launch: LaunchRecord, parent: ItemRecord | None, request: StartItem) -> ItemRecord:
    """Return the row that a start asks for."""
    case = request.test_case_id
    if case is None and request.code_ref is not None:
        values = ",".join(value for _, value in request.parameters)
        case = f"{request.code_ref}[{values}]" if request.parameters else request.code_ref
    return ItemRecord(
        id=store.next_id("test_item"),
        uuid=request.uuid if request.uuid is not None else str(uuid4()),
        launch=launch,
        parent=parent,
        type=request.type,
        name=request.name,
        start_time=request.start_time,
        has_stats=request.has_stats,
        unique_id=request.unique_id or unique_id(launch, parent, request.name, request.parameters),
        description=described(None, request.description),
        attributes=list(request.attributes),
        parameters=request.parameters,
        code_ref=request.code_ref,
        test_case_id=case,
        depth=parent.depth + 1 if parent else 1,
    )


def _check_parent(parent: ItemRecord, request: StartItem) -> None:
    """Refuse a child that its parent cannot have, in the order of service-api's validators."""
    if not parent.has_stats and request.has_stats:
        raise refuse(
            BAD_REQUEST,
            f"Unable to add a not nested step item, because parent item with ID = '{parent.id}' is a nested step",
        )
    if request.has_stats and parent.retry_of is not None:
        raise refuse(CHILD_OF_A_RETRY, parent.id)
    if request.start_time < parent.start_time:
        raise _too_early(request, parent)
    if parent.depth >= MAX_DEPTH:
        raise refuse(BAD_REQUEST, f"Exceeded nesting limit for test item. Max limit is {MAX_DEPTH}.")


def _too_early(request: StartItem, owner: ItemRecord | LaunchRecord) -> Exception:
    """Return the error for a child that starts before its parent or launch."""
    starts = fields.iso(request.start_time), fields.iso(owner.start_time)
    return refuse(CHILD_EARLIER_THAN_PARENT, *starts, owner.id)


def _replace(store: Store, previous: ItemRecord, item: ItemRecord) -> ItemRecord:
    """Insert an item that takes the place of a previous attempt."""
    store.add_item(item)
    supersede(store, previous, item)
    return item


def _finish_parent(store: Store, item: ItemRecord, request: Finish) -> None:
    """Finish an item whose status is computed unless the request gives one."""
    statuses.finish_descendants(store, item, request.status or "INTERRUPTED", request.end_time)
    store.set_status(item, request.status or statuses.computed(item))
    if item.status == "PASSED":
        item.issue = None
    statuses.settle_parent(store, item)
    statuses.settle_launch(store, item.launch)


def _finish_leaf(store: Store, item: ItemRecord, request: Finish) -> None:
    """Finish a step; a second finish overwrites status and issue without asking."""
    status = request.status or "INTERRUPTED"
    issue = _issue(store, item, status, request.issue)
    if item.status == IN_PROGRESS:
        store.set_status(item, status)
        if item.retry_of is None:
            statuses.settle_parent(store, item)
            statuses.settle_launch(store, item.launch)
            statuses.finish_retries(store, item, status, request.end_time)
    elif item.status != status:
        statuses.change(store, item, status)
    if issue is not None:
        item.issue = issue


def _issue(store: Store, item: ItemRecord, status: str, requested: Issue | None) -> Issue | None:
    """Return the issue that a finish gives: FAILED and SKIPPED without one need investigation, NOT_ISSUE means none."""
    if status not in {"FAILED", "SKIPPED"} or item.retry_of is not None or not item.has_stats:
        return None
    if requested is None:
        return statuses.to_investigate()
    if requested.issue_type.upper() == defects.NOT_ISSUE:
        return None
    return replace(requested, issue_type=store.defects.resolve(requested.issue_type).locator)


def _update_status(store: Store, item: ItemRecord, status: str) -> None:
    """Change the status as a person does."""
    if status == item.status:
        return
    if item.has_children and item.type in ABOVE_STEP:
        raise refuse(INCORRECT_REQUEST, "Unable to change status on test item with children")
    if status not in statuses.CHANGEABLE:
        raise refuse(INCORRECT_REQUEST, f"Actual status: '{item.status}' cannot be changed to '{status}'.")
    statuses.change(store, item, status)
    statuses.change_ancestors(store, item)
