"""Retries of an item and reruns of a launch: who takes whose place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_sandbox.reportportal.records import IN_PROGRESS
from testbus_sandbox.reportportal.refusals import ITEM_NOT_FOUND, RETRIES_HANDLER, refuse
from testbus_sandbox.reportportal.store import case_identity

if TYPE_CHECKING:
    from testbus_sandbox.reportportal.records import ItemRecord, LaunchRecord
    from testbus_sandbox.reportportal.request_models import StartItem
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
