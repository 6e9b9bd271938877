"""Coverage data as plain JSON data, from a `coverage.Coverage` that has its data."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import coverage
from coverage.exceptions import CoverageException

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbus_producers.source_paths import SourcePaths

#: Bound in bytes of the files of one event before gzip; so the event has less than 1 MiB after it.
_MAX_CHUNK: Final = 1024 * 1024


def recorded(measured: coverage.Coverage, *, measured_in: str, paths: SourcePaths) -> tuple[list[dict[str, Any]], str]:
    """Return the data of `coverage.recorded` events, files in chunks, and what is odd about their paths, for people.

    `measured_in` is the folder that coverage's own paths are relative to; `paths` places them in the repository.
    Nothing is returned when nothing was measured.
    """
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


def _report(measured: coverage.Coverage) -> dict[str, dict[str, Any]]:
    """Return coverage's own JSON report, its public and documented form, by file."""
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
