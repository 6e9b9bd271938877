"""How statuses spread: computed ones, and what happens to descendants that are still in progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_sandbox.reportportal import defects
from testbus_sandbox.reportportal.models import IN_PROGRESS, Attribute, Issue, ItemRecord, LaunchRecord, is_ancestor
from testbus_sandbox.reportportal.refusals import INCORRECT_REQUEST, refuse

if TYPE_CHECKING:
    from datetime import datetime

    from testbus_sandbox.reportportal.store import Store

#: What is put on an item that was finished by its parent or launch.
INTERRUPTED: Final = Attribute("status", "interrupted")

#: Statuses of a parent that a later child does not change any more.
_SETTLED: Final = frozenset({IN_PROGRESS, "PASSED", "FAILED", "SKIPPED"})

#: Statuses that a person, or a second finish, may change an item to with the effects on its issue.
CHANGEABLE: Final = frozenset({"PASSED", "INFO", "WARN", "FAILED", "SKIPPED"})


def to_investigate() -> Issue:
    """Return the issue of what nobody looked at yet."""
    return Issue(issue_type=defects.TO_INVESTIGATE)


def computed(record: ItemRecord | LaunchRecord) -> str:
    """Return FAILED when a direct child (of a launch: a root item) is not PASSED, INFO or WARN; else PASSED."""
    return "FAILED" if record.bad else "PASSED"


def skipped_is_issue(launch: LaunchRecord) -> bool:
    """Return whether the launch's system attribute `skippedIssue` makes a skipped test a defect."""
    return any(
        attribute.system and attribute.key == "skippedIssue" and attribute.value.lower() in {"true", "yes", "on"}
        for attribute in launch.attributes
    )


def finish_descendants(store: Store, owner: ItemRecord | LaunchRecord, status: str, end_time: datetime) -> int:
    """Finish what is in progress below `owner`, mark it interrupted, and return how many items that were.

    Items without children get `status`; items with children get a computed status, the deepest first.
    """
    launch = owner if isinstance(owner, LaunchRecord) else owner.launch
    below = [
        item for item in launch.in_progress.values() if isinstance(owner, LaunchRecord) or is_ancestor(owner, item)
    ]
    needs_issue = status == "FAILED" or (status == "SKIPPED" and skipped_is_issue(launch))
    for item in below:
        if not item.has_children:
            _interrupt(store, item, status, end_time)
            if needs_issue and item.has_stats and item.issue is None and item.type not in {"SUITE", "STORY"}:
                item.issue = to_investigate()
            settle_parent(store, item)
    for item in sorted((item for item in below if item.has_children), key=lambda item: -item.depth):
        _interrupt(store, item, computed(item), end_time)
    return len(below)


def _interrupt(store: Store, item: ItemRecord, status: str, end_time: datetime) -> None:
    """Finish one item that its parent or launch did not wait for."""
    store.set_status(item, status)
    item.end_time = end_time
    add_attributes(item, (INTERRUPTED,))
    finish_retries(store, item, status, end_time)


def finish_retries(store: Store, item: ItemRecord, status: str, end_time: datetime) -> None:
    """Finish the retries of an item that are still in progress."""
    for retry in item.retries:
        if retry.status == IN_PROGRESS:
            store.set_status(retry, status)
            retry.end_time = end_time


def add_attributes(record: ItemRecord | LaunchRecord, attributes: tuple[Attribute, ...]) -> None:
    """Add attributes to a row, without duplicates: finishing adds, it does not replace."""
    present = set(record.attributes)
    record.attributes.extend(attribute for attribute in attributes if attribute not in present)


def remove_interrupted(item: ItemRecord) -> None:
    """Take `status:interrupted` off an item that is finished after all."""
    item.attributes = [
        attribute
        for attribute in item.attributes
        if ((attribute.key or "").lower(), attribute.value.lower()) != (INTERRUPTED.key, INTERRUPTED.value)
    ]


def settle_parent(store: Store, item: ItemRecord) -> None:
    """Recompute an interrupted, stopped or cancelled parent once nothing below it is in progress; then its parent."""
    parent = item.parent
    while parent is not None:
        if parent.has_children:
            parent.issue = None
        if parent.status in _SETTLED or _has_open_descendant(parent):
            return
        status = computed(parent)
        if parent.status == status:
            return
        if parent.has_children or not parent.has_stats:
            store.set_status(parent, status)
        else:
            change(store, parent, status)
        parent = parent.parent


def _has_open_descendant(parent: ItemRecord) -> bool:
    """Return whether something below the item is in progress."""
    return any(is_ancestor(parent, item) for item in parent.launch.in_progress.values())


def settle_launch(store: Store, launch: LaunchRecord) -> None:
    """Recompute the status of a finished launch when nothing in it is in progress any more."""
    if launch.status != IN_PROGRESS and not launch.in_progress:
        launch.status = computed(launch)
        launch.last_modified = store.now()


def change(store: Store, item: ItemRecord, status: str) -> None:
    """Change a finished item's status with the effects on its issue, as service-api's status strategies do."""
    if item.status == IN_PROGRESS:
        raise refuse(
            INCORRECT_REQUEST, f"Unable to update status of test item = '{item.id}' because of '{item.status}' status"
        )
    store.set_status(item, status)
    if item.retry_of is not None:
        return
    if status == "FAILED" or (status == "SKIPPED" and skipped_is_issue(item.launch)):
        if item.issue is None and item.has_stats:
            item.issue = to_investigate()
    elif status in CHANGEABLE:
        item.issue = None


def change_ancestors(store: Store, item: ItemRecord) -> None:
    """Spread a person's change of status upwards: finished parents, then the finished launch."""
    parent = item.parent
    while parent is not None:
        status = computed(parent) if item.status in {"PASSED", "INFO", "WARN"} else "FAILED"
        if parent.status in {IN_PROGRESS, status}:
            return
        store.set_status(parent, status)
        parent = parent.parent
    if item.launch.status != IN_PROGRESS:
        item.launch.status = computed(item.launch)
