"""Log entries of results, and their batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from reportportal_client.core.rp_file import RPFile
from reportportal_client.core.rp_requests import RPRequestLog

from testbus_consumers.reportportal.launch_payloads import CUT, milliseconds
from testbus_consumers.reportportal.text import clean
from testbus_schemas import LogLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from testbus_consumers.reportportal.identities import Identities
    from testbus_consumers.reportportal.item_payloads import ItemText
    from testbus_schemas import LogRecord

#: Entries in one request. Part of what a batch is remembered by, so a change of it makes other batches.
BATCH: Final = 100

#: Characters of text in one request, well below what gateways and ReportPortal take.
_BATCH_CHARS: Final = 4 * 1024 * 1024

#: Level of captured output by its name.
_LEVELS: Final = {"stderr": "WARN"}


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A file that goes along with a log entry."""

    #: Name of its part: plain letters, so that the server finds it.
    name: str
    #: Media type.
    media_type: str
    #: Its bytes, at least one.
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One log entry."""

    #: Its uuid: chosen, so that it can be asked for.
    uuid: str
    #: uuid of its item; None for the launch.
    item: str | None
    #: What it is about, for people.
    name: str
    #: uuid of the launch.
    launch: str
    #: Instant, in milliseconds since the epoch.
    time_ms: int
    #: FATAL, ERROR, WARN, INFO, DEBUG or TRACE.
    level: str
    #: Text.
    message: str
    #: File.
    file: Attached | None = None

    @property
    def payload(self) -> dict[str, Any]:
        """Return it as ReportPortal takes it."""
        request = RPRequestLog(
            launch_uuid=self.launch,
            time=str(self.time_ms),
            item_uuid=self.item,
            level=self.level,
            message=self.message,
            file=RPFile(name=self.file.name) if self.file else None,
            **CUT,
        )
        # The library's model has no place for the uuid, the API has.
        payload = {**request.payload, "uuid": self.uuid}
        return {key: value for key, value in payload.items() if value is not None}


def entries_of(item: ItemText, ids: Identities) -> list[Entry]:
    """Return the entries of one item and its steps, those of each in the order in which they are to be read.

    Failures and captured output come at the end, a millisecond apart. Where there are records of the log, its text says
    the same again, and is left out.
    """
    result, key = item.result, item.result.key(item.context)
    recorded = any(logs for _, logs in _records(item))
    texts = [("ERROR", failure.text or _short(failure.type, failure.message)) for failure in result.failures]
    texts += [
        (_LEVELS.get(output.name, "INFO"), output.text)
        for output in result.output
        if not (recorded and output.name == "log")
    ]
    said: list[tuple[str, int, str, str]] = []
    latest = item.end_ms
    for uuid, logs in _records(item):
        time_ms = 0
        for record in logs:
            time_ms = max(time_ms, milliseconds(record.time))
            said.append((uuid, time_ms, _level(record), record.message))
        latest = max(latest, time_ms)
    # Clocks and durations are rounded: what was logged is never shown behind what it led to.
    said += [(item.uuid, latest + index, level, text) for index, (level, text) in enumerate(texts)]
    return [
        Entry(
            uuid=ids.log(key, index),
            item=uuid,
            name=item.name,
            launch=item.launch,
            time_ms=time_ms,
            level=level,
            message=clean(text),
        )
        for index, (uuid, time_ms, level, text) in enumerate(said)
        if text.strip()
    ]


def _records(item: ItemText) -> list[tuple[str, tuple[LogRecord, ...]]]:
    """Return the log records of an item and of its steps, each with its uuid."""
    return [(item.uuid, item.result.logs), *((step.uuid, step.logs) for step in item.steps)]


def _level(record: LogRecord) -> str:
    return "INFO" if record.level is LogLevel.UNKNOWN else record.level.value.upper()


def batches(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return the entries cut into batches; the same entries are always cut in the same places."""
    cut: list[list[Entry]] = []
    size = 0
    for entry in entries:
        size += len(entry.message)
        if not cut or len(cut[-1]) == BATCH or size > _BATCH_CHARS:
            cut.append([])
            size = len(entry.message)
        cut[-1].append(entry)
    return cut


def multipart(entries: Sequence[Entry]) -> aiohttp.MultipartWriter:
    """Return a batch as the request that ReportPortal takes."""
    part = aiohttp.JsonPayload([entry.payload for entry in entries])
    part.set_content_disposition("form-data", name="json_request_part")
    writer = aiohttp.MultipartWriter("form-data")
    writer.append_payload(part)
    for entry in entries:
        if entry.file:
            file = aiohttp.BytesPayload(entry.file.content, content_type=entry.file.media_type)
            file.set_content_disposition("form-data", name="file", filename=entry.file.name)
            writer.append_payload(file)
    return writer


def _short(kind: str, message: str) -> str:
    return f"{kind}: {message}" if message else kind
