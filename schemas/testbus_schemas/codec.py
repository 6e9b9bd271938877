"""From an event to bytes and back; everything that can be wrong with bytes is a SchemaError that says where."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ValidationError

from testbus_schemas import catalog, wire
from testbus_schemas.envelope import Event, model_of
from testbus_schemas.errors import EventTooLargeError, MalformedEventError, UnsupportedVersionError
from testbus_schemas.model import ClaimedInstant, Reception
from testbus_schemas.results import ResultsRecorded, readable

if TYPE_CHECKING:
    from datetime import datetime

    from testbus_schemas.events import EventData

#: How many of a body's faults an error names.
_FAULTS_NAMED: Final = 3

#: wbits that make zlib read the gzip form.
_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS


#: Bytes of a body up to which that is worth the memory of mending it.
_MENDED_BYTES: Final = 4 << 20

#: Half of a surrogate pair, as JSON escapes it and as Python holds it.
_ESCAPED_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An event as bytes."""

    #: The message's body.
    body: bytes
    content_type: str = wire.CONTENT_TYPE
    #: "gzip" or None.
    content_encoding: str | None = None


class _Head(BaseModel):
    """What is looked at before the data: which model reads them."""

    type: str
    dataschema: str


class _ClaimedContext(BaseModel):
    """What a context says of the run's start."""

    started_at: ClaimedInstant


class _ClaimedData(BaseModel):
    """The data around it."""

    context: _ClaimedContext


class _Claimed(BaseModel):
    """The event around it."""

    data: _ClaimedData


def encode(event: Event[EventData]) -> Encoded:
    """Return the event as it is published. Raises EventTooLargeError above `MAX_EVENT_BYTES`."""
    body = event.model_dump_json(exclude_defaults=True, exclude={"specversion", "datacontenttype"}).encode()
    body = b'{"specversion":"1.0","datacontenttype":"application/json",' + wire.without_nul(body[1:])
    if len(body) > wire.MAX_EVENT_BYTES:
        raise EventTooLargeError(f"event {event.id} ({event.name}): {len(body)} bytes, at most {wire.MAX_EVENT_BYTES}")
    sent, encoding = wire.compress(body)
    return Encoded(body=sent, content_encoding=encoding)


def decode(
    body: bytes,
    content_encoding: str | None = None,
    *,
    max_bytes: int = wire.MAX_EVENT_BYTES,
    received: datetime | None = None,
) -> Event[EventData]:
    """Return the event in a message's body.

    A NUL, and half of a surrogate pair, reads as U+FFFD. An instant that is more than a day after `received` (aware;
    None: not looked at) reads as that: a run that began in 2035 would stay the latest of its branch until then. The
    context keeps what its `started_at` was.

    Raises MalformedEventError, UnknownEventTypeError, UnsupportedVersionError or EventTooLargeError; each names the
    place, and never anything else, whatever the bytes.
    """
    raw = wire.without_nul(inflate(body, content_encoding, max_bytes=max_bytes))
    try:
        head = _Head.model_validate_json(raw)
    except ValidationError as error:
        whole = _without_halves(raw)
        if whole is not None:
            return decode(whole, max_bytes=2 * max_bytes, received=received)
        raise MalformedEventError(f"not a CloudEvent in structured JSON: {_faults(error)}") from None
    kind = catalog.by_type(head.type)
    _check_version(head.dataschema, kind.name)
    reception = None if received is None else Reception(received)
    try:
        event = model_of(kind.data).model_validate_json(raw, context=reception)
    except ValidationError as error:
        salvaged = _salvaged(raw, kind.data, reception)
        if salvaged is None:
            raise MalformedEventError(f"{kind.name}: {_faults(error)}") from None
        event = salvaged
    if event.subject != event.data.context.run:
        raise MalformedEventError(f"{kind.name}: subject {event.subject!r} is not the context's run")
    return _with_claim(event, raw) if reception is not None and reception.replaced else event


def inflate(body: bytes, content_encoding: str | None, *, max_bytes: int = wire.MAX_EVENT_BYTES) -> bytes:
    """Return the body without its content encoding, never holding more than `max_bytes` of it."""
    if content_encoding in {None, "", "identity", "utf-8"}:
        if len(body) > max_bytes:
            raise EventTooLargeError(f"the body has {len(body)} bytes, at most {max_bytes} are read")
        return body
    if content_encoding != "gzip":
        raise MalformedEventError(f"content encoding {content_encoding!r}: gzip or none is understood")
    inflater = zlib.decompressobj(_GZIP_WBITS)
    try:
        raw = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise MalformedEventError(f"content encoding says gzip, the body is not: {error}") from None
    if len(raw) > max_bytes:
        raise EventTooLargeError(f"the body inflates to more than {max_bytes} bytes")
    if not inflater.eof:
        raise MalformedEventError("the gzipped body is cut short")
    if inflater.unused_data:
        raise MalformedEventError("the gzipped body is followed by other bytes")
    return raw


def _with_claim(event: Event[Any], raw: bytes) -> Event[Any]:
    """Return an event of which instants were replaced, with what its context said of the run's start."""
    claimed = _Claimed.model_validate_json(raw).data.context.started_at
    context = event.data.context
    if claimed == context.started_at:
        return event
    context = context.model_copy(update={"started_at_claimed": claimed})
    return event.model_copy(update={"data": event.data.model_copy(update={"context": context})})


def _without_halves(raw: bytes) -> bytes | None:
    """Return JSON with U+FFFD for each half of a surrogate pair that stands alone; None where that is not its fault."""
    if len(raw) > _MENDED_BYTES or _ESCAPED_HALF.search(raw) is None:
        return None
    try:
        text = json.dumps(json.loads(raw), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    whole = _HALF.sub("\N{REPLACEMENT CHARACTER}", text)
    return None if whole == text else whole.encode()


def _salvaged(raw: bytes, data: type[EventData], reception: Reception | None) -> Event[EventData] | None:
    """Return an event some of whose results cannot be read, with what is left of these; None when it is no such event.

    Up to 200 results come in one event: one of them must not take the others along.
    """
    if data is not ResultsRecorded:
        return None
    try:
        event = json.loads(raw)
        results = event["data"]["results"]
        if not isinstance(results, list):
            return None
        event["data"]["results"] = readable(results)
        salvaged: Event[EventData] = model_of(data).model_validate(event, context=reception)
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return salvaged


def _check_version(dataschema: str, name: str) -> None:
    prefix = f"{wire.SCHEMA_PREFIX}{name}:"
    major = dataschema.removeprefix(prefix)
    if not dataschema.startswith(prefix) or not major.isdecimal():
        raise MalformedEventError(f"dataschema {dataschema[:200]!r} of {name}: expected {prefix}<major version>")
    if major != str(wire.MAJOR_VERSION):
        raise UnsupportedVersionError(
            f"{name} has major version {major[:20]}, this code reads {wire.MAJOR_VERSION}: "
            "upgrade the consumers, then redrive"
        )


def _faults(error: ValidationError) -> str:
    """Return the first faults as `place: what`, without the input, which may hold a secret."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    named = [f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in found[:_FAULTS_NAMED]]
    more = len(found) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more > 0 else "")
