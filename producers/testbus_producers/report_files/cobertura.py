"""Cobertura XML, which coverage.py and many others write.

It says which lines ran. Of a line's branches it says how many were taken (`50% (1/2)`), but not which: two shards that
each took one of two may have taken the same or not, so branches are left out rather than guessed. coverage.py's own
data file has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_producers.errors import ReportError
from testbus_producers.report_files import lines, xml_stream
from testbus_producers.report_files.lines import Hits
from testbus_producers.report_files.xml_stream import Sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_producers.report_files.records import How, ReportFile, ReportRecord
    from testbus_producers.report_files.xml_stream import Element

#: Elements that are read whole.
KEEP: Final = frozenset({"class", "source"})

#: Name of the document's outermost element.
ROOT: Final = "coverage"


class CoberturaReader:
    """Reads one report."""

    def __init__(self, how: How, report: ReportFile) -> None:
        """Read as `how` says, and tell `report` what it is."""
        self._how = how
        self._report = report
        self._sources: list[str] = []
        self._files: dict[str, Hits] = {}
        self._nameless = ""

    def records(self) -> Iterator[ReportRecord]:
        """Yield coverage; classes of the same file are added up. Raises ReportError."""
        self._report.tool = "cobertura"
        for sign, element in xml_stream.parse(self._report.path, keep=KEEP):
            if sign is Sign.WHOLE and element.tag == "source":
                self._sources.append(element.text.strip())
            elif sign is Sign.WHOLE:
                self._add(element)
        if not self._files:
            what = self._nameless or "it covers no file"
            raise ReportError(str(self._report.path), what, remedy="did the measured tests run at all?")
        files = lines.placed(self._files, self._how, self._report, self._sources)
        yield from lines.recorded(files, self._report.tool)

    def _add(self, element: Element) -> None:
        name = element.get("filename")
        # A line may stand under its class, under its method, or under both.
        holders = [*element.named("lines"), *_below(element.named("methods"), "method", "lines")]
        found = _below(holders, "line")
        if not name:
            self._nameless = f"the class {element.get('name')!r} has no filename"
            if found:
                raise ReportError(str(self._report.path), self._nameless, remedy="have the report written anew")
            return
        hits: dict[int, bool] = {}
        for line in found:
            number = line.get("number")
            if not number.isdecimal() or int(number[:9]) > lines.MAX_LINE:
                raise ReportError(str(self._report.path), f"{name}: {number[:20]!r} is no line")
            hits[int(number)] = hits.get(int(number), False) or _ran(line.get("hits"))
        file = self._files.setdefault(name, Hits())
        for at, ran in hits.items():
            # Line 0 is where some tools put what belongs to none.
            if at:
                file.line(at, int(ran))


def _below(elements: list[Element], *tags: str) -> list[Element]:
    """Return what is in elements, level by level."""
    for tag in tags:
        elements = [child for element in elements for child in element.named(tag)]
    return elements


def _ran(hits: str) -> bool:
    """Tell whether a line ran; some tools write counts as `1.0` or `1e3`."""
    try:
        return float(hits) > 0
    except ValueError:
        return False


def foreign(outermost: Element) -> str:
    """Return whose `<coverage>` this is if it is not Cobertura's; SonarQube's has nothing but a version of 1."""
    if "clover" in outermost.attributes:
        return "Clover"
    return "SonarQube" if outermost.attributes == {"version": "1"} else ""
