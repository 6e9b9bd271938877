"""The data file of coverage.py: which lines and branches ran. What could run, only the sources say."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from testbus_producers import events
from testbus_producers.errors import ReportError
from testbus_producers.readers.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coverage import CoverageData

    from testbus_producers.readers.records import How, Report
    from testbus_producers.source_paths import SourcePaths

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
    paths = how.source_paths()
    try:
        with tempfile.TemporaryDirectory(prefix="testbus-") as folder:
            loaded = coverage.Coverage(data_file=path)
            loaded.load()
            data_file = _moved_here(loaded.get_data(), paths, report, Path(folder))
            if data_file is not None:
                loaded = coverage.Coverage(data_file=str(data_file))
                loaded.load()
            found, warning = measured.recorded(loaded, measured_in=str(Path.cwd()), paths=paths)
            loaded.get_data().close()
    except CoverageException as error:
        raise ReportError(path, f"coverage.py cannot read it ({error})", remedy="measure anew") from error
    if not found:
        raise ReportError(path, "it covers no file", remedy="did the measured tests run at all?")
    if warning:
        report.warnings.append(warning)
    yield from (Record(events.COVERAGE, data) for data in found)


def _moved_here(data: CoverageData, paths: SourcePaths, report: Report, folder: Path) -> Path | None:
    """Return a data file with the names that the sources have here; None when they are where they were measured.

    Raises ReportError when they are not here at all: what could have run, only they say.
    """
    from coverage import CoverageData as Data  # noqa: PLC0415 as above

    files = sorted(data.measured_files())
    if not files:
        raise ReportError(str(report.path), "it covers no file", remedy="did the measured tests run at all?")
    if all(Path(file).is_file() for file in files):
        return None
    placed = paths.place(files).paths
    here = {file: file if Path(file).is_file() else str(paths.folder / placed[file]) for file in files}
    absent = [file for file in files if not Path(here[file]).is_file()]
    if absent:
        raise ReportError(
            str(report.path),
            f"the sources of {len(absent)} of its {len(files)} files are not here, the first is {absent[0]}",
            remedy="publish where the tests ran, say where they are by --paths FOLDER=FOLDER, "
            "or publish coverage.xml, which needs no sources",
        )
    moved = Data(basename=str(folder / ".coverage"))
    for file in files:
        if data.has_arcs():
            moved.add_arcs({here[file]: data.arcs(file) or []})
        else:
            moved.add_lines({here[file]: data.lines(file) or []})
        moved.add_file_tracers({here[file]: data.file_tracer(file) or ""})
    moved.write()
    moved.close()
    return folder / ".coverage"
