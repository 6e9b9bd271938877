"""Coverage data as plain JSON data, from a `coverage.Coverage` that has its data."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import coverage
from coverage.exceptions import CoverageException

from testbus_producers.failures import relative

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Bound in bytes of the files of one event before gzip; so the event has less than 1 MiB after it.
_MAX_CHUNK: Final = 1024 * 1024


def recorded(measured: coverage.Coverage, *, measured_in: str, root: str) -> Iterator[dict[str, Any]]:
    """Yield the data of `coverage.recorded` events: files in chunks, paths relative to `root`.

    `measured_in` is the folder that coverage's own paths are relative to. Nothing is yielded when nothing was measured.
    """
    files = [_file(path, entry, measured_in, root) for path, entry in _report(measured).items()]
    chunks = list(_chunks(files))
    for number, chunk in enumerate(chunks, 1):
        yield {
            "tool": f"coverage.py {coverage.__version__}",
            "files": chunk,
            "chunk": number,
            "chunks": len(chunks),
        }


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


def _file(path: str, entry: dict[str, Any], measured_in: str, root: str) -> dict[str, Any]:
    executed = entry["executed_lines"]
    found: dict[str, Any] = {
        "path": relative(os.path.normpath(Path(measured_in, path)), root),
        "statements": spans([*executed, *entry["missing_lines"]]),
        "executed": spans(executed),
        "excluded": spans(entry["excluded_lines"]),
    }
    if "executed_branches" in entry:
        taken = entry["executed_branches"]
        found["branches"] = sorted([*taken, *entry["missing_branches"]])
        found["executed_branches"] = taken
    return found


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
