"""Which files are meant: paths, globs that no shell expanded, and folders."""

from __future__ import annotations

import glob
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
        found = list(_meant(pattern, root))
        if not found:
            unmatched.append(pattern)
        for path in found:
            before = files.get(path.resolve())
            if before is None or (named and before.pattern is not None):
                files[path.resolve()] = Found(_short(path, root), None if named else pattern)
    return list(files.values()), unmatched


def _meant(pattern: str, root: Path) -> Iterator[Path]:
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
