"""What the rules judge: a run's tests and coverage, added up."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testbus_schemas.coverage import parse_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbus_schemas import Outcome


@dataclass(frozen=True, kw_only=True)
class TestFact:
    """How one test of one variant ended, by its last attempt."""

    #: Not for pytest to collect.
    __test__ = False

    #: Node id.
    node_id: str
    #: Variant.
    variant: str
    #: How it ended.
    outcome: Outcome
    #: Identity of its failure's cause; empty when there was no failure.
    fingerprint: str = ""
    #: Exception class.
    type: str = ""
    #: First line of the message.
    message: str = ""


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


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """A run, as the rules see it."""

    #: Tests of all variants.
    tests: tuple[TestFact, ...]
    #: Files; empty when nothing measured.
    coverage: tuple[CoverageFact, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Return how many tests ended how."""
        return dict(sorted(Counter(test.outcome.value for test in self.tests).items()))

    @property
    def covered(self) -> tuple[int, int]:
        """Return what ran and what could have, lines and branches together, as coverage.py counts its total."""
        ran = sum(len(file.executed & file.statements) + len(file.executed_branches) for file in self.coverage)
        could = sum(len(file.statements) + len(file.branches) for file in self.coverage)
        return ran, could


def merge_coverage(rows: Iterable[Mapping[str, Any]]) -> tuple[CoverageFact, ...]:
    """Return the union of what each row (`path`, line sets, branch lists) measured, by path."""
    lines: dict[str, tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))
    arcs: dict[str, tuple[set[tuple[int, int]], set[tuple[int, int]]]] = defaultdict(lambda: (set(), set()))
    for row in rows:
        path = row["path"]
        for kept, column in zip(lines[path], ("statements", "executed"), strict=True):
            kept.update(parse_lines(row[column]))
        for kept_arcs, column in zip(arcs[path], ("branches", "executed_branches"), strict=True):
            kept_arcs.update((first, last) for first, last in row[column])
    return tuple(
        CoverageFact(
            path=path,
            statements=frozenset(lines[path][0]),
            executed=frozenset(lines[path][1]),
            branches=frozenset(arcs[path][0]),
            executed_branches=frozenset(arcs[path][1]),
        )
        for path in sorted(lines)
    )
