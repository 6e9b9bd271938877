"""ReportPortal's rules for log entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from testbus_sandbox.reportportal.records import LogRecord
from testbus_sandbox.reportportal.refusals import LAUNCH_NOT_FOUND, LOG_NOT_FOUND, refuse

if TYPE_CHECKING:
    from testbus_sandbox.reportportal.models import Attachment
    from testbus_sandbox.reportportal.requests import SaveLog
    from testbus_sandbox.reportportal.store import Store

#: Levels by name, with ReportPortal's numbers.
LEVELS: Final = {
    "TRACE": 5000,
    "DEBUG": 10_000,
    "INFO": 20_000,
    "WARN": 30_000,
    "ERROR": 40_000,
    "FATAL": 50_000,
    "UNKNOWN": 60_000,
}


def save(store: Store, request: SaveLog, attachment: Attachment | None) -> LogRecord:
    """Store an entry; one for an unknown item falls to the launch, without a word. Raise ReportPortalError 4041."""
    item = store.item_by_uuid.get(request.item_uuid) if request.item_uuid else None
    launch = item.launch if item else store.launch_by_uuid.get(request.launch_uuid or "")
    if launch is None:
        raise refuse(LAUNCH_NOT_FOUND, request.launch_uuid, missing=request.launch_uuid)
    level = (request.level or "").upper()
    log = LogRecord(
        id=len(store.logs) + 1,
        uuid=request.uuid if request.uuid is not None else str(uuid4()),
        time=request.time,
        level=level if level in LEVELS else "UNKNOWN",
        message="NULL" if request.message is None else request.message,
        launch=launch,
        item=item,
        attachment=attachment,
    )
    store.add_log(log)
    return log


def find(store: Store, key: str) -> LogRecord:
    """Return the entry of that number or uuid; raise ReportPortalError 4044 when there is none."""
    log = store.logs.get(int(key)) if key.isdecimal() else store.log_by_uuid.get(key)
    if log is None:
        raise refuse(LOG_NOT_FOUND, key)
    return log
