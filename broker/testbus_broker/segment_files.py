"""Segment files in a folder: their names say who wrote them, and in which order (standard library only)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_SEGMENT_NAME: Final = re.compile(r"(?P<writer>.+)-(?P<number>\d{6,})(?P<suffix>\.[a-z]+)")


@dataclass(frozen=True, kw_only=True, order=True)
class Segment:
    """A segment file among others: sorted by writer, then in the order of writing."""

    #: Who wrote it.
    writer: str
    #: 1, 2, … for each writer.
    number: int
    #: The file.
    path: Path

    @property
    def name(self) -> str:
        """Return the file's name without its folder."""
        return self.path.name


def segment_name(writer: str, number: int, suffix: str) -> str:
    """Return the file name of a writer's segment number 1, 2, …; the suffix begins with a dot."""
    return f"{writer}-{number:06d}{suffix}"


def list_segments(folder: Path, suffix: str) -> list[Segment]:
    """Return the segments in a folder, sorted; none when there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except FileNotFoundError:
        return []
    found = (_SEGMENT_NAME.fullmatch(name) for name in names if name.endswith(suffix))
    return sorted(
        Segment(writer=match["writer"], number=int(match["number"]), path=folder / match[0])
        for match in found
        if match and match["suffix"] == suffix and not match[0].startswith(".")
    )
