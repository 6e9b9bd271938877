"""Coverage of files, added up over every producer that measured them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testbus_consumers.globs import matches_path
from testbus_schemas.coverage import parse_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from testbus_schemas.path_rules import PathRules


@dataclass(frozen=True, kw_only=True)
class CoverageFact:
    """Coverage of one file, over everything that measured it."""

    #: Path.
    path: str
    #: Lines that can run.
    statements: frozenset[int]
    #: Those that did.
    executed: frozenset[int]
    #: Branches that can be taken.
    branches: frozenset[tuple[int, int]]
    #: Those that were.
    executed_branches: frozenset[tuple[int, int]]
    #: Whether anything measured branches.
    branched: bool = True


@dataclass(frozen=True, kw_only=True)
class Covered:
    """How much of several files ran."""

    #: Lines that ran.
    lines: int
    #: Lines that could.
    statements: int
    #: Branches taken.
    taken: int
    #: Branches that could be.
    branches: int

    @property
    def total(self) -> tuple[int, int]:
        """Return what ran and what could have, lines and branches together, as coverage.py counts its total."""
        return self.lines + self.taken, self.statements + self.branches


def covered(files: Iterable[CoverageFact]) -> Covered:
    """Return the sums over files."""
    found = tuple(files)
    return Covered(
        lines=sum(len(file.executed & file.statements) for file in found),
        statements=sum(len(file.statements) for file in found),
        taken=sum(len(file.executed_branches & file.branches) for file in found),
        branches=sum(len(file.branches) for file in found),
    )


def percent(part: tuple[int, int]) -> float:
    """Return how many percent of something ran, from what ran and what could have; nothing is 100 %."""
    ran, could = part
    return 100.0 * ran / could if could else 100.0


def within(files: Iterable[CoverageFact], paths: Sequence[str]) -> tuple[CoverageFact, ...]:
    """Return the files that match the globs; all of them without any glob."""
    return tuple(file for file in files if not paths or matches_path(file.path, paths))


def merge_coverage(rows: Iterable[Mapping[str, Any]], rules: PathRules | None = None) -> tuple[CoverageFact, ...]:
    """Return the union of what each row measured, by path, which is where `rules` say that the file is.

    A row has `path`, the line sets `statements` and `executed` as text, and the lists of branches `branches` and
    `executed_branches`, None where branches were not measured. Raises MalformedEventError for what is no line set.
    """
    lines: dict[str, tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))
    arcs: dict[str, tuple[set[tuple[int, int]], set[tuple[int, int]]]] = defaultdict(lambda: (set(), set()))
    branched: set[str] = set()
    for row in rows:
        path = (rules.apply(row["path"]) if rules else None) or row["path"]
        for kept, column in zip(lines[path], ("statements", "executed"), strict=True):
            kept.update(parse_lines(row[column]))
        for kept_arcs, column in zip(arcs[path], ("branches", "executed_branches"), strict=True):
            kept_arcs.update((first, last) for first, last in row[column] or ())
        if row["branches"] is not None:
            branched.add(path)
    return tuple(
        CoverageFact(
            path=path,
            statements=frozenset(lines[path][0]),
            executed=frozenset(lines[path][1]),
            branches=frozenset(arcs[path][0]),
            executed_branches=frozenset(arcs[path][1]),
            branched=path in branched,
        )
        for path in sorted(lines)
    )
