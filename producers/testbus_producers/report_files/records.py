"""What readers take and give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from testbus_producers.source_paths import SourcePaths, normal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import tzinfo
    from pathlib import Path

    from testbus_producers.redaction.cleaner import Cleaner


@dataclass(frozen=True, kw_only=True)
class How:
    """How reports are read."""

    #: Folder to which paths are made relative, absolute: the project's.
    root: Path
    #: Redacts and bounds every text.
    clean: Cleaner
    #: Redacts, for texts that are bounded otherwise.
    redact: Callable[[str], str]
    #: Whose captured output goes along; see `settings.OUTPUT_POLICIES`.
    output: str = "failed"
    #: Which of two values of a benchmark is the better one, where its report does not say; None: what its unit says.
    better: str | None = None
    #: Zone of times that have none; None: UTC for the tools that are known to mean it, else this machine's.
    zone: tzinfo | None = None
    #: Returns what places measured files in the repository, asked for when there are some; None: they are only made
    #: relative to `root`.
    paths: Callable[[], SourcePaths] | None = None

    def source_paths(self) -> SourcePaths:
        """Return what places measured files."""
        return self.paths() if self.paths else SourcePaths(self.root)

    def place(self, report: ReportFile, names: Iterable[str], sources: Sequence[str] = ()) -> Mapping[str, str]:
        """Return where measured files are, and note those that are nowhere at the report."""
        placed = self.source_paths().place(names, sources)
        if placed.warning:
            report.warnings.append(placed.warning)
        return placed.paths


class ReportRecord(NamedTuple):
    """One thing that a report says."""

    #: What it is: one of the kinds of `testbus_producers.spool.event_builder`.
    kind: bytes
    #: A result, a file's coverage or an attachment, as plain JSON data.
    data: dict[str, Any]


@dataclass(kw_only=True)
class ReportFile:
    """What a file turned out to be; a reader fills it in while its records are taken."""

    #: The file.
    path: Path
    #: What wrote it: pytest, surefire, …, or `junit`; for coverage the tool and its version.
    tool: str = ""
    #: When the first test began, in seconds since 1970; None when the report does not say.
    started: float | None = None
    #: When the last one ended.
    ended: float | None = None
    #: What is odd about it, though it could be read; for people.
    warnings: list[str] = field(default_factory=list)

    def saw(self, began: float, seconds: float) -> None:
        """Note when a test ran."""
        self.started = began if self.started is None else min(self.started, began)
        self.ended = began + seconds if self.ended is None else max(self.ended, began + seconds)


def relative(path: str, root: Path) -> str:
    """Return a path as a report names it, with forward slashes, relative to `root` when it lies inside it."""
    return normal(path).removeprefix(root.as_posix().rstrip("/") + "/")
