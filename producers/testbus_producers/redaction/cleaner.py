"""Texts as they go on the wire: bounded, without what no database stores."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from testbus_producers.redaction.redactor import Redactor, without_tokens
from testbus_schemas.wire import MAX_LOG_BYTES, MAX_TEXT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bound in bytes of a message, a reason or the like.
MAX_MESSAGE_BYTES: Final = 8 * 1024

#: Bound in bytes of a parameter or a marker's argument.
MAX_VALUE_BYTES: Final = 256

#: A text longer than this many times its bound is cut before secrets are looked for.
_ROOM: Final = 8

#: Where an object lives differs from run to run; without it, equal parameters look equal.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{4,16}")


#: Bound in characters of a node id (JSON Schema of `Result`).
_MAX_NODE_ID: Final = 4096


def node_name(node_id: str) -> str:
    """Return a node id as it is published: without tokens of parameters, and of a very long one only the beginning.

    A digest of the whole tells it from others that would look the same.
    """
    clean = without_tokens(node_id) if "[" in node_id else node_id
    if clean != node_id:
        return f"{clean[: _MAX_NODE_ID - 9]}~{hashlib.sha256(node_id.encode('utf-8', 'replace')).hexdigest()[:8]}"
    if len(node_id) <= _MAX_NODE_ID:
        return node_id
    digest = hashlib.sha256(node_id.encode("utf-8", "replace")).hexdigest()
    return f"{node_id[: _MAX_NODE_ID - 17]}~{digest[:16]}"


class Cleaner:
    """Makes texts fit for the wire: redacted first, then cut in the middle, where least is said."""

    def __init__(self, redact: Callable[[str], str] | None = None) -> None:
        """Use this redaction; without one, the known shapes."""
        #: Removes secrets, and nothing else.
        self.redact: Callable[[str], str] = redact or Redactor()

    def text(self, text: str) -> str:
        """Return a report's text or captured output."""
        return self._clean(text, MAX_TEXT_BYTES)

    def message(self, text: str) -> str:
        """Return a message or reason."""
        return self._clean(text, MAX_MESSAGE_BYTES)

    def record(self, text: str) -> str:
        """Return the message of a log record."""
        return self._clean(text, MAX_LOG_BYTES)

    def value(self, text: str) -> str:
        """Return a parameter's or argument's value."""
        return self._clean(_ADDRESS.sub("", text) if " at 0x" in text else text, MAX_VALUE_BYTES)

    def named(self, name: str, text: str) -> str:
        """Return the value of something that has a name: a telling name alone makes it a secret."""
        shown = self.value(text)
        if self.redact(f"{name}={shown}") != f"{name}={shown}" and self.redact(shown) == shown:
            return "[redacted]"
        return shown

    def _clean(self, text: str, limit: int) -> str:
        if len(text) > limit * _ROOM:
            text = _cut(text, limit * _ROOM)
        text = self.redact(text)
        if "\x00" in text:
            text = text.replace("\x00", "\\x00")
        return cut(text, limit)


def cut(text: str, limit: int) -> str:
    """Return the text in at most `limit` bytes of UTF-8; what is left out of its middle is said."""
    if len(text) * 4 <= limit or len(text.encode("utf-8", "replace")) <= limit:
        return text
    return _cut(text, limit)


def _cut(text: str, limit: int) -> str:
    raw = text.encode("utf-8", "replace")
    room = max(limit - 48, 0)
    head = room // 4
    kept = raw[:head].decode("utf-8", "ignore"), raw[len(raw) - (room - head) :].decode("utf-8", "ignore")
    return f"{kept[0]}\n… {len(raw) - room} bytes left out …\n{kept[1]}"
