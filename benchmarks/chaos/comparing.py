"""Comparing: what is missing or another, and what is there too often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.chaos.snapshot import Key, Snapshot


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One fact that is not as it is to be."""

    #: What it is about.
    key: Key
    #: Contents that are missing, or that stand there otherwise.
    missing: tuple[str, ...]
    #: Contents that are not to be there.
    surplus: tuple[str, ...]

    @property
    def lost(self) -> int:
        """Return how many contents are missing or stand there otherwise."""
        return len(self.missing)

    @property
    def duplicates(self) -> int:
        """Return how many things there are more than there are to be."""
        return max(0, len(self.surplus) - len(self.missing))

    def __str__(self) -> str:
        """Return it for people."""
        lines = [" / ".join(self.key), *(f"  - {one}" for one in self.missing), *(f"  + {one}" for one in self.surplus)]
        return "\n".join(lines)


def compare(expected: Snapshot, found: Snapshot) -> list[Difference]:
    """Return every difference of what was found from what is to be."""
    differences = []
    for key in sorted(expected.keys() | found.keys()):
        there, here = Counter(expected.get(key, ())), Counter(found.get(key, ()))
        if there != here:
            missing, surplus = tuple((there - here).elements()), tuple((here - there).elements())
            differences.append(Difference(key=key, missing=missing, surplus=surplus))
    return differences
