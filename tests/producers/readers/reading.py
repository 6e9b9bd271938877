"""Reading a file as `testbus publish` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbus_producers.redaction.cleaner import Cleaner
from testbus_producers.redaction.redactor import Redactor
from testbus_producers.report_files import How, ReportFile, ReportRecord, read
from testbus_producers.spool import event_builder
from testbus_schemas import FileCoverage, Result

if TYPE_CHECKING:
    from testbus_producers.source_paths import SourcePaths

#: Reports as real tools wrote them; see the README beside them.
FIXTURES = Path(__file__).with_name("fixtures")


def records(
    path: Path, root: Path, output: str = "failed", paths: SourcePaths | None = None
) -> tuple[ReportFile, list[ReportRecord]]:
    """Return what a file is, and everything in it."""
    report = ReportFile(path=path)
    placing = (lambda: paths) if paths else None
    how = How(root=root, clean=Cleaner(), redact=Redactor(), output=output, paths=placing)
    return report, list(read(how, report))


def results(path: Path, root: Path = FIXTURES, output: str = "failed") -> list[Result]:
    """Return the results in a file, as a consumer reads them."""
    return [
        Result.model_validate(one.data) for one in records(path, root, output)[1] if one.kind == event_builder.RESULT
    ]


def written(folder: Path, text: str, name: str = "junit.xml") -> Path:
    """Return a new file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def coverage(path: Path, root: Path) -> dict[str, FileCoverage]:
    """Return the coverage in a file, by path."""
    found: list[dict[str, Any]] = []
    for record in records(path, root)[1]:
        found += record.data["files"]
    return {file["path"]: FileCoverage.model_validate(file) for file in found}
