"""Attached files: what `artifact.recorded` says of one, and how much of it goes along."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus_producers.recording import plain
from testbus_schemas.wire import MAX_CONTENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bounds in characters of what an event says of a file.
MAX_NAME: Final = 256
MAX_PATH: Final = 1024
_MAX_TYPE: Final = 128

#: Types besides `text/…` that are text, and redacted.
_TEXTS: Final = frozenset({"application/json", "application/xml", "application/yaml", "application/x-ndjson"})

#: How files begin whose bytes have no name, and what they are.
_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"%PDF-", ".pdf"),
    (b"PK\x03\x04", ".zip"),
)


def described(file: str | Path | bytes, *, name: str | None = None, media_type: str | None = None) -> dict[str, Any]:
    """Return the data of `artifact.recorded` for a file or for bytes, without the test that it belongs to.

    Raises OSError when the file cannot be read, and TypeError for what is neither.
    """
    if isinstance(file, bytes | bytearray | memoryview):
        content: bytes | None = bytes(file)
        data: dict[str, Any] = {"name": (name or _named(bytes(file[:16])))[:MAX_NAME]}
        if len(file) > MAX_CONTENT_BYTES:
            raise ValueError(f"{data['name']} has {len(file)} bytes, at most {MAX_CONTENT_BYTES} go along")
    else:
        path = Path(file).absolute()
        content = read(path)
        data = {"name": (name or path.name or "file")[:MAX_NAME], "path": shown(path, Path.cwd())}
    data["media_type"] = (media_type or kind_of(data["name"]))[:_MAX_TYPE]
    # A name of another encoding, as old archives have them: neither JSON nor xdist takes it as it is.
    data = {field: plain(text) for field, text in data.items()}
    if content is not None:
        data["content"] = base64.b64encode(content).decode()
    return data


def read(path: Path) -> bytes | None:
    """Return what is in a file; None when it is too large. Raises OSError."""
    with path.open("rb") as file:
        content = file.read(MAX_CONTENT_BYTES + 1)
    return content if len(content) <= MAX_CONTENT_BYTES else None


def kind_of(name: str) -> str:
    """Return the media type of a file by its name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def shown(path: Path, root: Path) -> str:
    """Return a path, relative to `root` when it lies inside it, as an event names it."""
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    return inside.as_posix()[:MAX_PATH]


def redacted(content: bytes, media_type: str, redact: Callable[[str], str]) -> bytes:
    """Return a file's content without secrets, if it is text."""
    if not media_type.startswith("text/") and media_type not in _TEXTS:
        return content
    return redact(content.decode("utf-8", "replace")).encode()[:MAX_CONTENT_BYTES]


def _named(beginning: bytes) -> str:
    ending = next((ending for shape, ending in _BEGINNINGS if beginning.startswith(shape)), "")
    return f"attachment{ending}"
