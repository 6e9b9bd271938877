"""Coverage of files as bit masks: what each producer measured, and its union over all that measured a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.filters import matches_path
from testbus_schemas.coverage import line_spans
from testbus_schemas.errors import MalformedEventError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from testbus_schemas.path_rules import PathRules

#: Bound of the lines of all files of one event: the last line of each, added up. A mask has as many bits.
MAX_LINES: Final = 20_000_000

#: A branch: the line that it starts from, and where it leads.
Branch = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSums:
    """How much of one file ran, over everything that measured it."""

    path: str
    #: Lines that can run.
    statements: int
    #: Those that did.
    lines: int
    #: Branches that can be taken.
    branches: int
    #: Those that were.
    taken: int
    #: Whether anything measured branches.
    branched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFile:
    """What was measured of one file."""

    path: str
    #: Lines that can run, as a line set: `1-5,8`. Those of two producers are nearly always the same text.
    statements: str
    #: Lines that did: bit n stands for line n.
    executed: int
    #: Branches that can be taken, ascending; None when they were not measured.
    branches: tuple[Branch, ...] | None
    #: Those that were: bit n stands for the n-th of `branches`.
    taken: int

    @property
    def sums(self) -> FileSums:
        """Return the numbers."""
        statements = line_mask(self.statements)
        return FileSums(
            path=self.path,
            statements=statements.bit_count(),
            lines=(statements & self.executed).bit_count(),
            branches=len(self.branches or ()),
            taken=self.taken.bit_count(),
            branched=self.branches is not None,
        )

    @property
    def row(self) -> list[Any]:
        """Return it as JSON data; see `of_row`."""
        branches = self.branches and " ".join(f"{first}>{last}" for first, last in self.branches)
        return [self.path, self.statements, f"{self.executed:x}", "" if branches == () else branches, f"{self.taken:x}"]

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> MeasuredFile:
        """Return what `row` gave."""
        path, statements, executed, text, taken = row
        branches = None
        if text is not None:
            branches = tuple((int(first), int(last)) for first, _, last in (one.partition(">") for one in text.split()))
        return cls(
            path=path, statements=statements, executed=int(executed, 16), branches=branches, taken=int(taken, 16)
        )

    def united(self, other: MeasuredFile) -> MeasuredFile:
        """Return the union with what another producer measured of the same file."""
        statements = self.statements
        if statements != other.statements:
            statements = line_set(line_mask(statements) | line_mask(other.statements))
        branches, taken = self.branches, self.taken | other.taken
        if branches != other.branches:
            branches = tuple(sorted({*(self.branches or ()), *(other.branches or ())}))
            taken = _mask_of(branches, {*_taken(self), *_taken(other)})
        return replace(
            self, statements=statements, executed=self.executed | other.executed, branches=branches, taken=taken
        )


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


def covered(files: Iterable[FileSums]) -> Covered:
    """Return the sums over files."""
    found = tuple(files)
    return Covered(
        lines=sum(file.lines for file in found),
        statements=sum(file.statements for file in found),
        taken=sum(file.taken for file in found),
        branches=sum(file.branches for file in found),
    )


def percent(part: tuple[int, int]) -> float:
    """Return how many percent of something ran, from what ran and what could have; nothing is 100 %."""
    ran, could = part
    return 100.0 * ran / could if could else 100.0


def within(files: Iterable[FileSums], paths: Sequence[str]) -> tuple[FileSums, ...]:
    """Return the files that match the globs; all of them without any glob."""
    return tuple(file for file in files if not paths or matches_path(file.path, paths))


def measured(rows: Iterable[Mapping[str, Any]]) -> list[MeasuredFile]:
    """Return what the rows say, each the fields of a `FileCoverage`; a branch that cannot be taken was not taken.

    Raises MalformedEventError for what is no line set, or when the files have more than `MAX_LINES` lines together.
    """
    found: list[MeasuredFile] = []
    lines = 0
    for row in rows:
        executed = line_spans(row["executed"])
        # Before any mask is made: twenty bytes of text can ask for a mask of a million bits.
        lines += max((last for _, last in executed + line_spans(row["statements"])), default=0)
        if lines > MAX_LINES:
            raise MalformedEventError(f"coverage of files with more than {MAX_LINES:,} lines together")
        branches = row["branches"]
        if branches is not None:
            branches = tuple(sorted({(first, last) for first, last in branches}))
        file = MeasuredFile(
            path=row["path"],
            statements=row["statements"],
            executed=_mask(executed),
            branches=branches,
            taken=_mask_of(branches, {(first, last) for first, last in row["executed_branches"] or ()}),
        )
        found.append(file)
    return found


def unite(files: Iterable[MeasuredFile], rules: PathRules | None = None) -> tuple[MeasuredFile, ...]:
    """Return the union of what was measured, by path, which is where `rules` say that a file is."""
    found: dict[str, MeasuredFile] = {}
    for file in files:
        path = (rules.apply(file.path) if rules else None) or file.path
        before = found.get(path)
        found[path] = before.united(file) if before else file if path == file.path else replace(file, path=path)
    return tuple(found[path] for path in sorted(found))


def merge_coverage(rows: Iterable[Mapping[str, Any]], rules: PathRules | None = None) -> tuple[FileSums, ...]:
    """Return how much of each file ran over all rows, each the fields of a `FileCoverage`; raises as `measured`."""
    return tuple(file.sums for file in unite((file for row in rows for file in measured([row])), rules))


def line_mask(lines: str) -> int:
    """Return a line set, as `1-5,8`, as a mask: bit n stands for line n. Raises MalformedEventError."""
    return _mask(line_spans(lines))


def line_set(mask: int) -> str:
    """Return a mask as a line set, the inverse of `line_mask`."""
    parts = []
    first = 0
    while mask:
        unset = (mask & -mask).bit_length() - 1
        mask >>= unset
        length = ((mask + 1) & ~mask).bit_length() - 1
        mask >>= length
        first += unset
        parts.append(f"{first}-{first + length - 1}" if length > 1 else str(first))
        first += length
    return ",".join(parts)


def _mask(spans: Iterable[tuple[int, int]]) -> int:
    mask = 0
    for first, last in spans:
        mask |= ((1 << (last - first + 1)) - 1) << first
    return mask


def _taken(file: MeasuredFile) -> Iterable[Branch]:
    return (branch for n, branch in enumerate(file.branches or ()) if file.taken >> n & 1)


def _mask_of(possible: Sequence[Branch] | None, taken: set[Branch]) -> int:
    return sum(1 << n for n, branch in enumerate(possible or ()) if branch in taken) if taken else 0
