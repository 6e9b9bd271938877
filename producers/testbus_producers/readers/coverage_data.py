"""The data file of coverage.py: which lines and branches ran. What could run, only the sources say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from testbus_producers import events
from testbus_producers.errors import ReportError
from testbus_producers.readers.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_producers.readers.records import How, Report

#: How a data file of coverage.py begins: it is an SQLite database.
MAGIC: Final = b"SQLite format 3\x00"


def records(how: How, report: Report) -> Iterator[Record]:
    """Yield coverage, with branches when they were measured. Raises ReportError."""
    path = str(report.path)
    try:
        import coverage  # noqa: PLC0415 only who publishes its data has to have it
        from coverage.exceptions import CoverageException  # noqa: PLC0415 the same

        from testbus_producers import measured  # noqa: PLC0415 the same
    except ImportError:
        raise ReportError(
            path, "coverage.py is not installed here", remedy="pip install 'testbus[coverage]', or publish coverage.xml"
        ) from None
    report.tool = f"coverage.py {coverage.__version__}"
    try:
        loaded = coverage.Coverage(data_file=path)
        loaded.load()
        _check_sources(sorted(loaded.get_data().measured_files()), report)
        found = list(measured.recorded(loaded, measured_in=str(Path.cwd()), root=str(how.root)))
    except CoverageException as error:
        raise ReportError(path, f"coverage.py cannot read it ({error})", remedy="measure anew") from error
    if not found:
        raise ReportError(path, "it covers no file", remedy="did the measured tests run at all?")
    yield from (Record(events.COVERAGE, data) for data in found)


def _check_sources(files: list[str], report: Report) -> None:
    if not files:
        raise ReportError(str(report.path), "it covers no file", remedy="did the measured tests run at all?")
    absent = [file for file in files if not Path(file).is_file()]
    if absent:
        raise ReportError(
            str(report.path),
            f"the sources of {len(absent)} of its {len(files)} files are not here, the first is {absent[0]}",
            remedy="publish where the tests ran, or publish coverage.xml, which needs no sources",
        )
