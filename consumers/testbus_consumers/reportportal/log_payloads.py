"""Log entries of results, and their batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from reportportal_client.core.rp_requests import RPRequestLog
from reportportal_client.helpers.common_helpers import clean_binary_characters

from testbus_consumers.reportportal.launch_payloads import CUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from testbus_consumers.reportportal.identities import Identities
    from testbus_consumers.reportportal.item_payloads import ItemText

#: Entries in one request. Part of what a batch is remembered by, so a change of it makes other batches.
BATCH: Final = 100

#: Characters of text in one request, well below what gateways and ReportPortal take.
_BATCH_CHARS: Final = 4 * 1024 * 1024

#: Level of captured output by its name.
_LEVELS: Final = {"stderr": "WARN"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One log entry."""

    #: Its uuid: chosen, so that it can be asked for.
    uuid: str
    #: uuid of its item.
    item: str
    #: The item's name, for people.
    name: str
    #: uuid of the launch.
    launch: str
    #: Instant, in milliseconds since the epoch.
    time_ms: int
    #: ERROR, WARN or INFO.
    level: str
    #: Text.
    message: str

    @property
    def payload(self) -> dict[str, Any]:
        """Return it as ReportPortal takes it."""
        request = RPRequestLog(
            launch_uuid=self.launch,
            time=str(self.time_ms),
            item_uuid=self.item,
            level=self.level,
            message=self.message,
            **CUT,
        )
        # The library's model has no place for the uuid, the API has.
        return {**request.payload, "uuid": self.uuid}


def entries_of(item: ItemText, ids: Identities) -> list[Entry]:
    """Return the entries of one item, in the order in which they are to be read: a millisecond apart."""
    key = item.result.key(item.context)
    texts = [("ERROR", failure.text or _short(failure.type, failure.message)) for failure in item.result.failures]
    texts += [(_LEVELS.get(output.name, "INFO"), output.text) for output in item.result.output]
    return [
        Entry(
            uuid=ids.log(key, index),
            item=item.uuid,
            name=item.name,
            launch=item.launch,
            time_ms=item.end_ms + index,
            level=level,
            message=clean_binary_characters(text),
        )
        for index, (level, text) in enumerate(texts)
        if text.strip()
    ]


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
    return writer


def _short(kind: str, message: str) -> str:
    return f"{kind}: {message}" if message else kind
