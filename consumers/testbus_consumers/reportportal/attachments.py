"""Attached files: each is one log entry of its test, or of the launch, with the file or where it can be found."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.reportportal import launch_payloads, launches, logs
from testbus_consumers.reportportal.errors import NotThereError
from testbus_consumers.reportportal.logs import Attached, Entry
from testbus_consumers.reportportal.state import waited_enough
from testbus_consumers.reportportal.text import clean

if TYPE_CHECKING:
    from testbus_consumers.reportportal.api import Api
    from testbus_consumers.reportportal.client import KnownLaunch, Scope
    from testbus_consumers.reportportal.tree import Identities
    from testbus_schemas import ArtifactRecorded, Event

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


def report(effects: Scope, event: Event[ArtifactRecorded], launch: KnownLaunch) -> str:
    """Attach a file once, and return to what.

    Raises NotThereError while its item is not there: a log entry of an unknown item would fall to the launch without a
    word. After `waiting.PATIENCE` it does, and says whose it is. Raises RefusedError and TargetDownError.
    """
    ids = launches.identities_for(effects, event, launch)
    uuid = ids.file(event.id)
    client = effects.client
    # Before anything is written down as begun: what has no owner yet was surely not sent.
    owner = _owner(effects, event.data, ids)

    def send() -> dict[str, Any]:
        client.call(lambda api: logs.send(api, [_entry(event, launch, owner, uuid)]))
        return {"to": owner.name}

    def ask() -> dict[str, Any] | None:
        missing = client.call(lambda api: logs.missing(api, client, [_entry(event, launch, owner, uuid)]))
        return None if missing else {"to": owner.name}

    done: dict[str, Any] = effects.once(f"file:{event.id}", send, ask, settle=logs.settling(effects))
    return str(done["to"])


def _owner(effects: Scope, data: ArtifactRecorded, ids: Identities) -> _Owner:
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


def _entry(event: Event[ArtifactRecorded], launch: KnownLaunch, owner: _Owner, uuid: str) -> Entry:
    data = event.data
    file, why = _file(data)
    parts = [data.name, data.url or "", owner.more, why]
    return Entry(
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
