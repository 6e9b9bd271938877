"""Lines of files, as events have them: chunks of whole files, each below the bound."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from testbus_producers.report_files.records import ReportRecord
from testbus_producers.spool import event_builder
from testbus_schemas.coverage import format_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from testbus_producers.report_files.records import How, ReportFile

#: Bound in bytes of the files of one event before gzip; so the event has less than 1 MiB after it.
_MAX_CHUNK: Final = 1024 * 1024

#: Highest line that an event takes.
MAX_LINE: Final = 1_000_000

#: How coverage.py names a branch in a tracefile.
_LEADS_TO: Final = re.compile(r"jump to line (\d{1,7})$")

_NUMBER: Final = re.compile(r"\d{1,9}")


class Hits:
    """How often the lines and branches of one file ran."""

    def __init__(self) -> None:
        """Begin with nothing that could run."""
        self._lines: dict[int, int] = {}
        self._branches: dict[tuple[int, str], int] = {}

    def line(self, at: int, count: int) -> None:
        """Add how often a line ran."""
        self._lines[at] = self._lines.get(at, 0) + max(0, count)

    def branch(self, at: int, name: str, count: int) -> None:
        """Add how often a branch of a line was taken; its name is unique in its line, and nothing more."""
        self._branches[at, name] = self._branches.get((at, name), 0) + max(0, count)

    def add(self, other: Hits) -> None:
        """Add what another measurement of the same file says."""
        for at, count in other._lines.items():
            self.line(at, count)
        for (at, name), count in other._branches.items():
            self.branch(at, name, count)

    def as_json(self, path: str) -> dict[str, Any]:
        """Return the data of a file.

        A branch is named by the line that it leads to. Where only coverage.py would say that, it has a negative number
        instead, its place among those of its line, which is the same wherever the same source is measured.
        """
        data: dict[str, Any] = {
            "path": path,
            "statements": format_lines(self._lines),
            "executed": format_lines(line for line, count in self._lines.items() if count > 0),
        }
        if self._branches:
            numbers: dict[int, int] = {}
            arcs = {}
            for at, name in sorted(self._branches, key=_in_order):
                match = _LEADS_TO.search(name)
                numbers[at] = numbers.get(at, 0) - 1
                arcs[at, name] = [at, int(match[1]) if match else numbers[at]]
            data["branches"] = list(arcs.values())
            data["executed_branches"] = [arcs[branch] for branch in arcs if self._branches[branch] > 0]
        return data


def _in_order(branch: tuple[int, str]) -> tuple[Any, ...]:
    """Return what branches are sorted by: numbers as numbers."""
    return branch[0], [(0, int(part), "") if _NUMBER.fullmatch(part) else (1, 0, part) for part in branch[1].split(",")]


def placed(
    files: Mapping[str, Hits], how: How, report: ReportFile, sources: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the data of files by where they are in the repository; several names of one file are added up."""
    paths = how.place(report, files, sources)
    merged: dict[str, Hits] = {}
    for name, hits in files.items():
        merged.setdefault(paths[name], Hits()).add(hits)
    return [merged[path].as_json(path) for path in sorted(merged)]


def recorded(files: Iterable[dict[str, Any]], tool: str) -> Iterator[ReportRecord]:
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
        yield ReportRecord(
            event_builder.COVERAGE, {"tool": tool, "files": chunk, "chunk": number, "chunks": len(chunks)}
        )
