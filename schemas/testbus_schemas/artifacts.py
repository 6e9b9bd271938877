"""Artifacts: files that a test left, or that are about a whole run."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from testbus_schemas.events import EventData
from testbus_schemas.wire import MAX_CONTENT_BYTES

#: What goes along of a file, as base64, in characters.
_MAX_CONTENT_CHARS: Final = (MAX_CONTENT_BYTES + 2) // 3 * 4


class ArtifactRecorded(EventData):
    """One attached file, or an address where it is."""

    #: Test that it belongs to; None when it is about the whole run.
    node_id: str | None = Field(default=None, min_length=1, max_length=4096)
    #: Attempt of that test, from 1.
    attempt: int = Field(default=1, ge=1)
    #: What to call it, usually the file's name.
    name: str = Field(min_length=1, max_length=256)
    #: MIME type.
    media_type: str = Field(default="application/octet-stream", max_length=128)
    #: Where it can be looked at; None when it is not on the web.
    url: str | None = Field(default=None, max_length=2048)
    #: The file in base64; None when it is too large, or only has an address.
    content: str | None = Field(default=None, max_length=_MAX_CONTENT_CHARS)
    #: Where it was on the runner's disk, relative to the project; None when it was never there.
    path: str | None = Field(default=None, max_length=1024)
