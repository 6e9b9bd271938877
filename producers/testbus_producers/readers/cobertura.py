"""Cobertura XML, which coverage.py and many others write.

It says which lines ran. Of a line's branches it says how many were taken (`50% (1/2)`), but not which: two shards that
each took one of two may have taken the same or not, so branches are left out rather than guessed. coverage.py's own
data file has them.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from testbus_producers.errors import ReportError
from testbus_producers.readers import lines, markup
from testbus_producers.readers.markup import Sign
from testbus_producers.readers.records import relative

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_producers.readers.markup import Element
    from testbus_producers.readers.records import How, Record, Report

#: Elements that are read whole.
KEEP: Final = frozenset({"class", "source"})

#: Name of the document's outermost element.
ROOT: Final = "coverage"


class CoberturaReader:
    """Reads one report."""

    def __init__(self, how: How, report: Report) -> None:
        """Read as `how` says, and tell `report` what it is."""
        self._how = how
        self._report = report
        self._sources: list[str] = []
        self._hits: dict[str, dict[int, int]] = {}

    def records(self) -> Iterator[Record]:
        """Yield coverage; classes of the same file are added up. Raises ReportError."""
        self._report.tool = "cobertura"
        for sign, element in markup.parse(self._report.path, keep=KEEP):
            if sign is Sign.WHOLE and element.tag == "source":
                self._sources.append(element.text.strip())
            elif sign is Sign.WHOLE:
                self._add(element)
        if not self._hits:
            raise ReportError(str(self._report.path), "it covers no file", remedy="did the measured tests run at all?")
        yield from lines.recorded(lines.of_hits(self._hits), self._report.tool)

    def _add(self, element: Element) -> None:
        name = element.get("filename")
        if not name:
            raise ReportError(str(self._report.path), f"the class {element.get('name')!r} has no filename")
        hits = self._hits.setdefault(_placed(name, self._sources, self._how.root), {})
        # Cobertura's own lists each line a second time, under its method.
        for holder in element.named("lines"):
            for line in holder.named("line"):
                number, count = line.get("number"), line.get("hits")
                if not number.isdecimal() or not 0 < int(number[:9]) <= lines.MAX_LINE:
                    raise ReportError(str(self._report.path), f"{name}: {number[:20]!r} is no line")
                ran = count.isdecimal() and count.strip("0") != ""
                hits[int(number)] = max(hits.get(int(number), 0), int(ran))


def foreign(outermost: Element) -> str:
    """Return whose `<coverage>` this is if it is not Cobertura's; SonarQube's has nothing but a version of 1."""
    if "clover" in outermost.attributes:
        return "Clover"
    return "SonarQube" if outermost.attributes == {"version": "1"} else ""


def _placed(name: str, sources: list[str], root: Path) -> str:
    """Return a file's path relative to the project: names are relative to one of the sources."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or plain[1:3] == ":/":
        return relative(plain, root)
    for source in sources:
        path = posixpath.normpath(posixpath.join(source.replace("\\", "/"), plain))
        inside = relative(path, root)
        if inside != path and (root / inside).is_file():
            return inside
    if not (root / plain).is_file():
        # Elsewhere than where it was measured: a source inside of the project still says where the file is.
        for source in sources:
            path = posixpath.normpath(posixpath.join(source.replace("\\", "/"), plain))
            inside = relative(path, root)
            if inside != path:
                return inside
    return posixpath.normpath(plain)
