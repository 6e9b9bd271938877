"""LCOV tracefiles (geninfo(1)): which lines ran how often; of branches it knows no lines that they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_producers.errors import ReportError
from testbus_producers.readers import lines
from testbus_producers.readers.records import relative

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_producers.readers.records import How, Record, Report

#: What to do about a tracefile that is none.
_REMEDY: Final = "have the tracefile written anew (SF:, DA:line,count, end_of_record)"


def records(how: How, report: Report) -> Iterator[Record]:
    """Yield coverage; sections of the same file are added up. Raises ReportError."""
    report.tool = "lcov"
    hits: dict[str, dict[int, int]] = {}
    current: dict[int, int] | None = None
    number = 0
    try:
        with report.path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(file, 1):
                line = text.strip()
                if line.startswith("SF:"):
                    current = hits.setdefault(relative(line[3:].strip(), how.root), {})
                elif line.startswith("DA:"):
                    _count(line, current, report, number)
                elif line == "end_of_record":
                    current = None
    except OSError as error:
        raise ReportError(str(report.path), f"it cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ReportError(
            str(report.path), "it is not UTF-8", where=f"near line {number + 1}", remedy=_REMEDY
        ) from error
    if current is not None:
        raise ReportError(str(report.path), "it ends too early", where=f"line {number}", remedy=_REMEDY)
    if not hits:
        raise ReportError(str(report.path), "it covers no file", remedy="did the measured tests run at all?")
    yield from lines.recorded(lines.of_hits(hits), report.tool)


def _count(line: str, current: dict[int, int] | None, report: Report, number: int) -> None:
    """Add up `DA:line,count[,checksum]`."""
    fields = line[3:].split(",")
    try:
        at, count = int(fields[0]), int(float(fields[1]))
        good = 0 < at <= lines.MAX_LINE and current is not None
    except (ValueError, IndexError, OverflowError):
        good = False
    if not good or current is None:
        raise ReportError(
            str(report.path), f"{line[:60]!r} is no count of a line", where=f"line {number}", remedy=_REMEDY
        )
    current[at] = current.get(at, 0) + max(0, count)
