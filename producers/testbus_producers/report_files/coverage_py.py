"""What coverage.py measured, as plain JSON data: of a session that ends, or in a data file."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus_producers.errors import ReportError
from testbus_producers.report_files.records import ReportRecord
from testbus_producers.spool import event_builder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from coverage import Coverage, CoverageData

    from testbus_producers.report_files.records import How, ReportFile
    from testbus_producers.source_paths import SourcePaths

#: Bound in bytes of the files of one event before gzip; so the event has less than 1 MiB after it.
_MAX_CHUNK: Final = 1024 * 1024


def recorded(measured: Coverage, *, measured_in: str, paths: SourcePaths) -> tuple[list[dict[str, Any]], str]:
    """Return the data of `coverage.recorded` events, files in chunks, and what is odd about their paths, for people.

    `measured_in` is the folder that coverage's own paths are relative to; `paths` places them in the repository.
    Nothing is returned when nothing was measured.
    """
    import coverage  # noqa: PLC0415 it is imported only where it ran

    entries = {os.path.normpath(Path(measured_in, path)): entry for path, entry in _report(measured).items()}
    placed = paths.place(entries)
    files: dict[str, dict[str, Any]] = {}
    for name, entry in entries.items():
        file = _file(placed.paths[name], entry)
        files[file["path"]] = _united(files[file["path"]], file) if file["path"] in files else file
    chunks = list(_chunks(list(files.values())))
    tool = f"coverage.py {coverage.__version__}"
    events = [
        {"tool": tool, "files": chunk, "chunk": number, "chunks": len(chunks)} for number, chunk in enumerate(chunks, 1)
    ]
    return events, placed.warning or ""


def _report(measured: Coverage) -> dict[str, dict[str, Any]]:
    """Return coverage's own JSON report, its public and documented form, by file."""
    from coverage.exceptions import CoverageException  # noqa: PLC0415 the same

    with tempfile.TemporaryDirectory(prefix="testbus-") as folder:
        path = Path(folder) / "coverage.json"
        try:
            measured.json_report(outfile=str(path), ignore_errors=True, pretty_print=False, show_contexts=False)
        except CoverageException:
            return {}
        files: dict[str, dict[str, Any]] = json.loads(path.read_bytes())["files"]
        return files


def _file(path: str, entry: dict[str, Any]) -> dict[str, Any]:
    executed = entry["executed_lines"]
    found: dict[str, Any] = {
        "path": path,
        "statements": spans([*executed, *entry["missing_lines"]]),
        "executed": spans(executed),
        "excluded": spans(entry["excluded_lines"]),
    }
    if "executed_branches" in entry:
        taken = entry["executed_branches"]
        found["branches"] = sorted([*taken, *entry["missing_branches"]])
        found["executed_branches"] = taken
    return found


def _united(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return what two measurements say of one file, which was measured under two names."""
    united: dict[str, Any] = {"path": first["path"]}
    for key in ("statements", "executed", "excluded"):
        united[key] = spans([*_lines(first[key]), *_lines(second[key])])
    if "branches" in first or "branches" in second:
        for key in ("branches", "executed_branches"):
            arcs = {tuple(arc) for arc in [*first.get(key, ()), *second.get(key, ())]}
            united[key] = [list(arc) for arc in sorted(arcs)]
    return united


def _lines(text: str) -> Iterator[int]:
    """Yield the lines of a set, the inverse of `spans`."""
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def spans(lines: Iterable[int]) -> str:
    """Return a set of lines as text, `1-5,8,10-12` (as `testbus_schemas.coverage.format_lines`, without pydantic)."""
    parts: list[list[int]] = []
    for line in sorted(set(lines)):
        if parts and line == parts[-1][1] + 1:
            parts[-1][1] = line
        else:
            parts.append([line, line])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in parts)


def _chunks(files: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    size = 0
    for file in files:
        length = len(json.dumps(file))
        if chunk and size + length > _MAX_CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(file)
        size += length
    if chunk:
        yield chunk


#: How a data file of coverage.py begins: it is an SQLite database.
MAGIC: Final = b"SQLite format 3\x00"


def records(how: How, report: ReportFile) -> Iterator[ReportRecord]:
    """Yield coverage, with branches when they were measured. Raises ReportError."""
    path = str(report.path)
    try:
        import coverage  # noqa: PLC0415 only who publishes its data has to have it
        from coverage.exceptions import CoverageException  # noqa: PLC0415 the same
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
            found, warning = recorded(loaded, measured_in=str(Path.cwd()), paths=paths)
            loaded.get_data().close()
    except CoverageException as error:
        raise ReportError(path, f"coverage.py cannot read it ({error})", remedy="measure anew") from error
    if not found:
        raise ReportError(path, "it covers no file", remedy="did the measured tests run at all?")
    if warning:
        report.warnings.append(warning)
    yield from (ReportRecord(event_builder.COVERAGE, data) for data in found)


def _moved_here(data: CoverageData, paths: SourcePaths, report: ReportFile, folder: Path) -> Path | None:
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
