"""LCOV tracefiles (geninfo(1)): which lines ran how often, and which of a line's branches were taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_producers.errors import ReportError
from testbus_producers.report_files import lines
from testbus_producers.report_files.lines import Hits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_producers.report_files.records import How, ReportFile, ReportRecord

#: What to do about a tracefile that is none.
_REMEDY: Final = "have the tracefile written anew (SF:, DA:line,count, end_of_record)"


def records(how: How, report: ReportFile) -> Iterator[ReportRecord]:
    """Yield coverage; sections of the same file are added up. Raises ReportError."""
    report.tool = "lcov"
    files: dict[str, Hits] = {}
    current: Hits | None = None
    number = 0
    try:
        with report.path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(file, 1):
                line = text.strip()
                if line.startswith("SF:"):
                    current = files.setdefault(line[3:].strip(), Hits())
                elif line.startswith(("DA:", "BRDA:")):
                    if current is None or not _count(line, current):
                        what = "line" if line.startswith("DA:") else "branch"
                        where = f"line {number}"
                        raise ReportError(
                            str(report.path), f"{line[:60]!r} is no count of a {what}", where=where, remedy=_REMEDY
                        )
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
    if not files:
        raise ReportError(str(report.path), "it covers no file", remedy="did the measured tests run at all?")
    yield from lines.recorded(lines.placed(files, how, report), report.tool)


def _count(line: str, hits: Hits) -> bool:
    """Add up `DA:line,count[,checksum]` or `BRDA:line,block,branch,taken`; return False for what is none.

    `-` is a branch whose condition was never evaluated. A branch may be called anything, and hold a comma.
    """
    kind, _, rest = line.partition(":")
    fields = rest.split(",")
    try:
        at = int(fields[0])
        count = fields[1] if kind == "DA" else fields[-1]
        taken = 0 if kind == "BRDA" and count.strip() == "-" else int(float(count))
    except (ValueError, IndexError, OverflowError):
        return False
    if not 0 <= at <= lines.MAX_LINE or (kind == "BRDA" and len(fields) < 4):  # noqa: PLR2004 the four of them
        return False
    if at == 0:
        # Compilers put what belongs to no line there.
        return True
    if kind == "DA":
        hits.line(at, taken)
    else:
        hits.branch(at, ",".join(fields[1:-1]), taken)
    return True
