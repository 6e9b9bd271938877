"""Coverage: which lines and branches of which files ran."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pydantic import Field

from testbus_schemas.errors import MalformedEventError
from testbus_schemas.events import EventData
from testbus_schemas.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Highest line of a file: a bound on what a short text can make us hold.
_MAX_LINE: Final = 1_000_000

#: One span of a line set, and all of them.
_SPAN: Final = re.compile(r"([0-9]{1,7})(?:-([0-9]{1,7}))?")
_LINE_SET: Final = re.compile(r"(?:[0-9]{1,7}(?:-[0-9]{1,7})?(?:,(?=[0-9])|\Z))+")


class FileCoverage(Model):
    """One source file. Line sets are written as `1-5,8,10-12`; see `parse_lines`."""

    #: Path relative to the project, with forward slashes.
    path: str
    #: Lines that can run.
    statements: str
    #: Those that did run.
    executed: str
    #: Lines left out on purpose.
    excluded: str = ""
    #: Branches that can be taken, as (from line, to line); None when branches were not measured. A negative line is the
    #: way out of a function, or, where nobody says where a branch leads, its place among those of its line.
    branches: tuple[tuple[int, int], ...] | None = None
    #: Those that were taken.
    executed_branches: tuple[tuple[int, int], ...] | None = None


class CoverageRecorded(EventData):
    """Coverage of one producer; large ones come in chunks of whole files."""

    #: What measured: `coverage.py 7.6.1`, …
    tool: str = ""
    #: Files of this chunk.
    files: tuple[FileCoverage, ...]
    #: Number of this chunk, from 1.
    chunk: int = Field(default=1, ge=1)
    #: How many chunks there are.
    chunks: int | None = Field(default=None, ge=1)


def line_spans(text: str) -> list[tuple[int, int]]:
    """Return first and last line of each span of `1-5,8,10-12`. Raises MalformedEventError for anything else."""
    spans = (
        [(int(first), int(last or first)) for first, last in _SPAN.findall(text)] if _LINE_SET.fullmatch(text) else []
    )
    # Line 0 is what some tracers call the entry of a module.
    if any(not first <= last <= _MAX_LINE for first, last in spans) or (text and not spans):
        raise MalformedEventError(f"line set {text[:80]!r}: expected the form 1-5,8,10-12 with lines up to {_MAX_LINE}")
    return spans


def parse_lines(text: str) -> frozenset[int]:
    """Return the lines of a set written as `1-5,8,10-12`. Raises MalformedEventError for anything else."""
    return frozenset(line for first, last in line_spans(text) for line in range(first, last + 1))


def format_lines(lines: Iterable[int]) -> str:
    """Return a line set as text, the inverse of `parse_lines`."""
    parts: list[str] = []
    first = last = None
    for line in [*sorted(set(lines)), None]:
        if last is not None and line == last + 1:
            last = line
            continue
        if first is not None:
            parts.append(f"{first}-{last}" if last != first else str(first))
        first = last = line
    return ",".join(parts)
