"""Log entries: many in a request, and each of them once although ReportPortal would take it again."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from reportportal_client.core.rp_file import RPFile
from reportportal_client.core.rp_requests import RPRequestLog

from testbus_consumers.errors import TargetDownError
from testbus_consumers.reportportal import launch_payloads, launches
from testbus_consumers.reportportal.errors import NotThereError, RefusedError
from testbus_consumers.reportportal.launch_payloads import CUT, instant, milliseconds
from testbus_consumers.reportportal.state import waited_enough
from testbus_consumers.reportportal.text import clean
from testbus_schemas import LogLevel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from testbus_consumers.reportportal.api import Api, Json
    from testbus_consumers.reportportal.client import KnownLaunch, PortalEffects, ReportPortalClient
    from testbus_consumers.reportportal.item_payloads import ItemText
    from testbus_consumers.reportportal.tree import Identities
    from testbus_schemas import ArtifactRecorded, Event, LogRecord, ResultsRecorded


#: Items whose entries are listed by one request: their numbers have to fit into an address.
_ITEMS: Final = 100


async def missing(api: Api, client: ReportPortalClient, entries: Sequence[LogEntry]) -> list[LogEntry]:
    """Return those of the entries that are not there.

    Raises NotThereError when the item (or launch) of one is not there, and what `answers.read` raises.
    """
    there: Counter[tuple[str | None, int, str]] = Counter()
    items = list(dict.fromkeys(entry.item for entry in entries if entry.item))
    for start in range(0, len(items), _ITEMS):
        some = items[start : start + _ITEMS]
        found = await client.bounded([_looking(api.find_item, uuid, "item") for uuid in some])
        owners = {int(item["id"]): uuid for uuid, item in zip(some, found, strict=True)}
        rows = await api.list_logs({"filter.in.item": ",".join(map(str, owners))})
        there.update((owners[row["itemId"]], instant(row["time"]), row["message"]) for row in rows)
    if whole := next((entry.launch for entry in entries if not entry.item), None):
        launch = await _looking(api.find_launch, whole, "launch")()
        rows = await api.list_logs({"filter.eq.launch": str(launch["id"])})
        there.update((None, instant(row["time"]), row["message"]) for row in rows)
    lacking = []
    for entry in entries:
        this = (entry.item, entry.time_ms, entry.message)
        if there[this] > 0:
            there[this] -= 1
        else:
            lacking.append(entry)
    return lacking


def _looking(find: Callable[[str], Any], uuid: str, kind: str) -> Callable[[], Any]:
    async def look() -> Json:
        found: Json | None = await find(uuid)
        if found is None:
            raise NotThereError(f"{kind} {uuid} was there and is gone")
        return found

    return look


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
    media_type: str
    #: Its bytes, at least one.
    content: bytes


@dataclass(frozen=True, kw_only=True)
class LogEntry:
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


def entries_of(item: ItemText, ids: Identities) -> list[LogEntry]:
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
    lines: list[tuple[str, int, str, str]] = []
    latest = item.end_ms
    for uuid, logs in _records(item):
        time_ms = 0
        for record in logs:
            time_ms = max(time_ms, milliseconds(record.time))
            lines.append((uuid, time_ms, _level(record), record.message))
        latest = max(latest, time_ms)
    # Clocks and durations are rounded: what was logged is never shown behind what it led to.
    lines += [(item.uuid, latest + index, level, text) for index, (level, text) in enumerate(texts)]
    return [
        LogEntry(
            uuid=ids.log(key, index),
            item=uuid,
            name=item.name,
            launch=item.launch,
            time_ms=time_ms,
            level=level,
            message=clean(text),
        )
        for index, (uuid, time_ms, level, text) in enumerate(lines)
        if text.strip()
    ]


def _records(item: ItemText) -> list[tuple[str, tuple[LogRecord, ...]]]:
    """Return the log records of an item and of its steps, each with its uuid."""
    return [(item.uuid, item.result.logs), *((step.uuid, step.logs) for step in item.steps)]


def _level(record: LogRecord) -> str:
    return "INFO" if record.level is LogLevel.UNKNOWN else record.level.value.upper()


def batches(entries: Iterable[LogEntry]) -> list[list[LogEntry]]:
    """Return the entries cut into batches; the same entries are always cut in the same places."""
    cut: list[list[LogEntry]] = []
    size = 0
    for entry in entries:
        size += len(entry.message)
        if not cut or len(cut[-1]) == BATCH or size > _BATCH_CHARS:
            cut.append([])
            size = len(entry.message)
        cut[-1].append(entry)
    return cut


def multipart(entries: Sequence[LogEntry]) -> aiohttp.MultipartWriter:
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


def report(
    effects: PortalEffects,
    event: Event[ResultsRecorded],
    ids: Identities,
    texts: Sequence[ItemText],
    without: Collection[str],
) -> None:
    """Report the log entries of items; those of the items `without` (uuids) would fall to the launch, and wait.

    Raises RefusedError when some are not taken, NotThereError and TargetDownError.
    """
    without = {
        uuid for text in texts if text.uuid in without for uuid in (text.uuid, *(one.uuid for one in text.steps))
    }
    entries = [entry for text in texts for entry in entries_of(text, ids)]
    for index, batch in enumerate(batches(entries)):
        _once(effects, f"logs:{event.id}:{index}", batch, without)


def _once(effects: PortalEffects, key: str, batch: Sequence[LogEntry], without: Collection[str]) -> None:
    client = effects.client
    ready = lacking = [entry for entry in batch if entry.item not in without]

    def act() -> dict[str, Any]:
        if lacking:
            client.call(lambda api: send(api, lacking))
        if len(ready) < len(batch):
            # Left open on purpose: when the event is redriven, what is missing is asked for and sent.
            raise RefusedError("the logs of items that were refused")
        return {"entries": len(batch)}

    def ask() -> dict[str, Any] | None:
        nonlocal lacking
        lacking = client.call(lambda api: missing(api, client, ready))
        return None if lacking else act()

    try:
        effects.once(key, act, ask, settle=settling(effects))
    except RefusedError:
        if len(ready) == len(batch):
            raise


def settling(effects: PortalEffects) -> timedelta:
    """Return for how long what was sent may still turn up: a request that was given up may be at work on the server.

    It would not be noticed there that entries of the same uuid came before it.
    """
    return timedelta(seconds=2 * effects.settings.timeout_s)


async def send(api: Api, entries: Sequence[LogEntry]) -> None:
    """Send entries; raises NotThereError, RefusedError and TargetDownError."""
    answers = await api.save_logs(multipart(entries))
    if len(answers) != len(entries):
        raise TargetDownError(f"{api.where} answered for {len(answers)} of {len(entries)} log entries")
    for entry, answer in zip(entries, answers, strict=True):
        if "id" in answer:
            continue
        lines = str(answer.get("message", "no reason given"))
        if "not found" in lines:
            raise NotThereError(f"log of {entry.name}: {lines}")
        raise RefusedError(f"log of {entry.name}: {lines}")


#: Characters of a file's name that go into the name of its part: the message has all of it.
_NAME_CHARS: Final = 100

#: What a part's name may be made of besides letters and digits: others are escaped, which not every server undoes.
_PLAIN: Final = frozenset("._-")


@dataclass(frozen=True, kw_only=True)
class _Owner:
    """What a file belongs to."""

    #: uuid of the item; None for the launch.
    item: str | None
    #: What people call it.
    name: str
    #: What the message says besides; empty when nothing has to be said.
    more: str = ""


def report_file(effects: PortalEffects, event: Event[ArtifactRecorded], launch: KnownLaunch) -> str:
    """Attach a file once, and return to what.

    Raises NotThereError while its item is not there: a log entry of an unknown item would fall to the launch without a
    word. After `waiting.PATIENCE` it does, and says whose it is. Raises RefusedError and TargetDownError.
    """
    ids = launches.identities_for(effects, event, launch)
    uuid = ids.file(event.id)
    client = effects.client
    # Before anything is written down as begun: what has no owner yet was surely not sent.
    owner = _owner(effects, event.data, ids)

    def attach() -> dict[str, Any]:
        client.call(lambda api: send(api, [_entry(event, launch, owner, uuid)]))
        return {"to": owner.name}

    def ask() -> dict[str, Any] | None:
        absent = client.call(lambda api: missing(api, client, [_entry(event, launch, owner, uuid)]))
        return None if absent else {"to": owner.name}

    done: dict[str, Any] = effects.once(f"file:{event.id}", attach, ask, settle=settling(effects))
    return str(done["to"])


def _owner(effects: PortalEffects, data: ArtifactRecorded, ids: Identities) -> _Owner:
    if data.node_id is None:
        return _Owner(item=None, name="the launch")
    uuid = ids.attempt(data.context, data.node_id, data.attempt)

    async def there(api: Api) -> bool:
        return await api.find_item(uuid) is not None

    named = data.node_id if data.attempt == 1 else f"{data.node_id}, attempt {data.attempt}"
    if effects.client.call(there):
        return _Owner(item=uuid, name=named)
    if not waited_enough(effects):
        raise NotThereError(f"item {named}, which {data.name} belongs to")
    return _Owner(item=None, name="the launch", more=f"of {named}, which was not reported")


def _entry(event: Event[ArtifactRecorded], launch: KnownLaunch, owner: _Owner, uuid: str) -> LogEntry:
    data = event.data
    file, why = _file(data)
    parts = [data.name, data.url or "", owner.more, why]
    return LogEntry(
        uuid=uuid,
        item=owner.item,
        name=f"{data.name} of {owner.name}",
        launch=launch.uuid,
        time_ms=max(launch_payloads.milliseconds(event.time), launch.start_ms),
        level="INFO",
        message=clean(" · ".join(part for part in parts if part)),
        file=file,
    )


def _file(data: ArtifactRecorded) -> tuple[Attached | None, str]:
    """Return the file, or None and what is to be said of that."""
    if data.content is None:
        return None, f"on the runner: {data.path}" if data.path and not data.url else ""
    try:
        content = base64.b64decode(data.content, validate=True)
    except binascii.Error as error:
        return None, f"its content cannot be read: {error}"
    if not content:
        # The server takes a part without a byte for none at all.
        return None, "an empty file"
    return Attached(name=_plain(data.name), media_type=_media_type(data.media_type), content=content), ""


def _plain(name: str) -> str:
    """Return a name that every server reads as it was sent: the end of it, which tells the kind."""
    plain = "".join(char if char.isascii() and (char.isalnum() or char in _PLAIN) else "_" for char in name)
    return plain[-_NAME_CHARS:]


def _media_type(named: str) -> str:
    """Return a media type that can stand in a header."""
    kind, slash, subtype = named.partition(";")[0].strip().partition("/")
    plain = all(
        part.isascii() and part.replace("-", "").replace(".", "").replace("+", "").isalnum() for part in (kind, subtype)
    )
    return f"{kind}/{subtype}" if slash and plain else "application/octet-stream"
