"""ReportPortal's log entries: the request, and the rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from testbus_sandbox.reportportal.fields import Body
from testbus_sandbox.reportportal.models import LogRecord
from testbus_sandbox.reportportal.refusals import INCORRECT_REQUEST, LAUNCH_NOT_FOUND, LOG_NOT_FOUND, refuse

if TYPE_CHECKING:
    from datetime import datetime

    from testbus_sandbox.reportportal.models import Attachment
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

#: A log level as the request model wants it.
_LEVEL: Final = re.compile(r"[A-Za-z0-9 ]{3,16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveLog:
    """One entry of json_request_part."""

    #: uuid of the launch that takes the entry when there is no such item.
    launch_uuid: str | None
    item_uuid: str | None
    #: UTC.
    time: datetime
    #: As sent, in any case of letters.
    level: str | None
    #: Text.
    message: str | None
    #: Chosen by the client; None lets the server choose.
    uuid: str | None
    #: Name of the file that comes along.
    file: str | None
    #: What validation does not like; None when the entry is valid.
    invalid: str | None

    @classmethod
    def read(cls, data: Any) -> SaveLog:
        """Read the JSON; an entry that is not valid is refused on its own, only unreadable JSON refuses the batch."""
        body = Body(data)
        level = body.text("level")
        invalid = []
        if body.raw("time") is None:
            invalid.append("[Incorrect value in save log request 'null' in field 'logTime'.]")
        if level is not None and not _LEVEL.fullmatch(level):
            invalid.append(f"[Incorrect value in save log request '{level}' in field 'level'.]")
        file = body.raw("file")
        return cls(
            launch_uuid=body.text("launchUuid"),
            item_uuid=body.text("itemUuid", "item_id"),
            time=body.time("time"),
            level=level,
            message=body.text("message"),
            uuid=body.text("uuid"),
            file=Body(file).text("name") if file is not None else None,
            invalid="".join(invalid) or None,
        )

    def check(self) -> None:
        """Raise ReportPortalError 4001 when the entry is not valid."""
        if self.invalid:
            raise refuse(INCORRECT_REQUEST, self.invalid)


def save(store: Store, request: SaveLog, attachment: Attachment | None) -> LogRecord:
    """Store an entry; one for an unknown item falls to the launch, without a word. Raise ReportPortalError 4041."""
    item = store.item_by_uuid.get(request.item_uuid) if request.item_uuid else None
    launch = item.launch if item else store.launch_by_uuid.get(request.launch_uuid or "")
    if launch is None:
        raise refuse(LAUNCH_NOT_FOUND, request.launch_uuid, missing=request.launch_uuid)
    level = (request.level or "").upper()
    log = LogRecord(
        id=store.next_id("log"),
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
