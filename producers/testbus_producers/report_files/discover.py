"""Which files are meant: paths, globs that no shell expanded, and folders."""

from __future__ import annotations

import codecs
import glob
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from testbus_producers.errors import NoReportError, ReportError
from testbus_producers.report_files import benchmarks, cobertura, coverage_py, junit, lcov, xml_stream
from testbus_producers.report_files.junit_flavours import SUITES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbus_producers.report_files.records import How, ReportFile, ReportRecord


#: Names under which tools leave their reports; in a folder only these are read.
KNOWN: Final = (
    "junit*.xml",
    "*-junit.xml",
    "*.junit.xml",
    "TEST-*.xml",
    "TESTS-*.xml",
    "report.xml",
    "pytest*.xml",
    "results.xml",
    "test-results.xml",
    "test_results.xml",
    "test-report.xml",
    "coverage.xml",
    "cobertura*.xml",
    "cobertura-coverage.xml",
    "lcov.info",
    "*.lcov",
    "coverage.lcov",
    ".coverage",
    "benchmark*.json",
    "*-benchmark.json",
)

#: Folders that hold other people's files.
_PASSED_OVER: Final = frozenset({".git", ".hg", ".svn", ".tox", ".nox", ".venv", "venv", "node_modules", "__pycache__"})


class Found(NamedTuple):
    """A file that is meant."""

    #: Where it is, as a person would write it.
    path: Path
    #: The pattern that means it, when that is a glob or a folder, which may mean files that are no reports as well;
    #: None when it was named.
    pattern: str | None


def find(patterns: Iterable[str], root: Path) -> tuple[list[Found], list[str]]:
    """Return the files that are meant, each once, and the patterns that mean none.

    A pattern is a file, a folder, or a glob (`**` for any folders); relative ones begin at `root`.
    """
    files: dict[Path, Found] = {}
    unmatched: list[str] = []
    for pattern in patterns:
        named = (root / pattern).is_file()
        found = list(_matches(pattern, root))
        if not found:
            unmatched.append(pattern)
        for path in found:
            before = files.get(path.resolve())
            if before is None or (named and before.pattern is not None):
                files[path.resolve()] = Found(_short(path, root), None if named else pattern)
    return list(files.values()), unmatched


def _matches(pattern: str, root: Path) -> Iterator[Path]:
    path = root / pattern
    if path.is_dir():
        yield from _within(path)
    elif path.exists():
        yield path
    else:
        for match in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207 absolute patterns, too
            if Path(match).is_file():
                yield Path(match)


def _short(path: Path, root: Path) -> Path:
    """Return a path as a person would write it."""
    return path.relative_to(root) if root == Path.cwd() and path.is_relative_to(root) else path


def _within(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - _PASSED_OVER)
        yield from (Path(at, name) for name in sorted(names) if any(fnmatch(name, known) for known in KNOWN))


#: How many bytes tell what a file is.
_HEAD: Final = 64

#: How an XML file may begin, byte order marks and UTF-16 included.
_XML: Final = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\x00<", b"<\x00", b"\x00<")

#: How LCOV tracefiles begin.
_LCOV: Final = (b"TN:", b"SF:", b"VER:", b"# ")

_KNOWN: Final = "testbus reads JUnit XML, coverage.py's data, Cobertura XML, LCOV and reports of benchmarks"


def read(how: How, report: ReportFile) -> Iterator[ReportRecord]:
    """Yield the records of a report, and fill in what it is. Raises ReportError, maybe after some records."""
    path = str(report.path)
    try:
        with report.path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ReportError(path, f"it cannot be read ({error.strerror or error})") from error
    if not head:
        raise ReportError(path, "it is empty", remedy="whatever writes it was stopped; have it written anew")
    plain = head.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n")
    if head.startswith(coverage_py.MAGIC):
        yield from coverage_py.records(how, report)
    elif plain.startswith(_LCOV):
        yield from lcov.records(how, report)
    elif plain.startswith(_XML):
        yield from _xml(how, report)
    else:
        try:
            yield from benchmarks.records(how, report)
        except NoReportError as error:
            if plain.startswith((b"{", b"[")):
                raise
            raise NoReportError(path, f"it begins with {plain[:16]!r}, which is no report", remedy=_KNOWN) from error


def _xml(how: How, report: ReportFile) -> Iterator[ReportRecord]:
    path = str(report.path)
    outermost = next((element for _, element in xml_stream.parse(report.path, keep=())), None)
    tag = outermost.tag if outermost else ""
    if outermost is not None and tag == cobertura.ROOT:
        whose = cobertura.foreign(outermost)
        if whose:
            raise NoReportError(path, f"it is {whose}'s XML", remedy="write Cobertura or LCOV")
        return cobertura.CoberturaReader(how, report).records()
    if tag in SUITES:
        return junit.JUnitReader(how, report).records()
    raise NoReportError(path, f"its outermost element is <{tag}>, which is no report", remedy=_KNOWN)
