"""What the rules judge: a run's tests and coverage, added up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbus_consumers.records.coverage import FileSums
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
class RunFacts:
    """A run, as the rules see it."""

    #: Tests of all variants.
    tests: tuple[TestFact, ...]
    #: Files; empty when nothing measured.
    coverage: tuple[FileSums, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Return how many tests ended how."""
        return dict(sorted(Counter(test.outcome.value for test in self.tests).items()))
