"""Reads what a request says of a message, by Slack's rules."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.errors import SlackError
from testbus_sandbox.slack import blocks
from testbus_sandbox.slack.models import Content

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Characters of a message's text, at most.
MAX_TEXT: Final = 40_000

#: Attachments of a message, at most.
MAX_ATTACHMENTS: Final = 100

#: Bytes of metadata as JSON, at most.
MAX_METADATA: Final = 16_384

#: A type of metadata: letters, digits, `_`, `.`, `-`.
_EVENT_TYPE: Final = re.compile(r"[A-Za-z0-9_.\-]{1,255}")


def read(arguments: Mapping[str, Any]) -> Content:
    """Return the checked content; raise SlackError no_text, msg_too_long, invalid_blocks… or invalid_metadata_…."""
    text = arguments.get("text")
    text = None if text is None else str(text)
    found = Content(
        text=text,
        blocks=_blocks(arguments.get("blocks")),
        attachments=_attachments(arguments.get("attachments")),
        metadata=_metadata(arguments.get("metadata")),
    )
    if not (text and text.strip()) and not found.blocks and not found.attachments:
        raise SlackError("no_text")
    if text is not None and len(text) > MAX_TEXT:
        raise SlackError("msg_too_long")
    return found


def flag(value: object) -> bool:
    """Return an argument as boolean: JSON's true, or the text of a form."""
    return str(value).lower() in {"1", "true"}


def _blocks(value: Any) -> tuple[Mapping[str, Any], ...] | None:
    """Return the blocks of a request: a list, or its JSON."""
    if value is None or value == "":
        return None
    return blocks.check(_decoded(value, "invalid_blocks_format"))


def _attachments(value: Any) -> tuple[Mapping[str, Any], ...] | None:
    """Return the attachments of a request: a list, or its JSON."""
    if value is None or value == "":
        return None
    value = _decoded(value, "invalid_attachments")
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise SlackError("invalid_attachments")
    if len(value) > MAX_ATTACHMENTS:
        raise SlackError("too_many_attachments")
    return tuple(value)


def _metadata(value: Any) -> Mapping[str, Any] | None:
    """Return the metadata of a request: an object, or its JSON; an empty one stays empty."""
    if value is None or value == "":
        return None
    value = _decoded(value, "invalid_metadata_format")
    if not isinstance(value, dict):
        raise SlackError("invalid_metadata_format")
    if not value:
        return {}
    event_type, payload = value.get("event_type"), value.get("event_payload")
    if not isinstance(event_type, str) or not _EVENT_TYPE.fullmatch(event_type) or not isinstance(payload, dict):
        raise SlackError("invalid_metadata_schema")
    if len(json.dumps(value).encode()) > MAX_METADATA:
        raise SlackError("metadata_too_large")
    return {"event_type": event_type, "event_payload": payload}


def _decoded(value: Any, error: str) -> Any:
    """Return what a form's JSON means; other values as they are. Raise SlackError for text that is no JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise SlackError(error) from None
