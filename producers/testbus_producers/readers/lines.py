"""Lines of files, as events have them: chunks of whole files, each below the bound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from testbus_producers import events
from testbus_producers.readers.records import Record
from testbus_schemas.coverage import format_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Bound in bytes of the files of one event before gzip; so the event has less than 1 MiB after it.
_MAX_CHUNK: Final = 1024 * 1024

#: Highest line that an event takes.
MAX_LINE: Final = 1_000_000


def recorded(files: Iterable[dict[str, Any]], tool: str) -> Iterator[Record]:
    """Yield the data of `coverage.recorded` events from those of files."""
    chunks: list[list[dict[str, Any]]] = [[]]
    size = 0
    for file in files:
        length = len(json.dumps(file))
        if chunks[-1] and size + length > _MAX_CHUNK:
            chunks.append([])
            size = 0
        chunks[-1].append(file)
        size += length
    for number, chunk in enumerate(chunks, 1):
        yield Record(events.COVERAGE, {"tool": tool, "files": chunk, "chunk": number, "chunks": len(chunks)})


def of_hits(hits: dict[str, dict[int, int]]) -> list[dict[str, Any]]:
    """Return the data of files from how often each of their lines ran."""
    return [
        {
            "path": path,
            "statements": format_lines(lines),
            "executed": format_lines(line for line, count in lines.items() if count > 0),
        }
        for path, lines in sorted(hits.items())
    ]
