"""Rules about how much of the code ran."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from testbus_consumers.gates.rule import BaseRule, Finding
from testbus_consumers.records.coverage import Covered, covered, percent, within
from testbus_consumers.wording import rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_consumers.gates.facts import RunFacts
    from testbus_consumers.records.coverage import FileSums


class _CoverageRule(BaseRule):
    """What the rules about coverage have in common: a component, and a percentage of it."""

    unit: ClassVar[str] = "%"

    #: Percent.
    minimum: float = Field(ge=0, le=100)
    #: Files of the component, as globs (`src/api/**`); empty: all files.
    paths: tuple[str, ...] = ()

    def evaluate(self, facts: RunFacts) -> Finding:
        """Measure a run."""
        files = within(facts.coverage, self.paths)
        missing = self._missing(facts, files)
        if missing:
            return Finding(value=None, threshold=self.minimum, told=missing, passed=False)
        part = self._part(covered(files))
        value = percent(part)
        told = rules.covered(*part)
        return Finding(value=value, threshold=self.minimum, told=told, passed=value >= self.minimum)

    @abstractmethod
    def _part(self, sums: Covered) -> tuple[int, int]:
        """Return what ran and what could have."""

    def _missing(self, facts: RunFacts, files: Sequence[FileSums]) -> str:
        """Return why there is nothing to measure, for people; empty when there is."""
        if not facts.coverage:
            return rules.NO_COVERAGE
        if not files:
            return rules.unmatched(len(facts.coverage), self.paths)
        return ""


class Coverage(_CoverageRule):
    """At least so much of the code has to run: lines and, where measured, branches, as coverage.py's total."""

    #: Which rule.
    rule: Literal["coverage"]

    def _part(self, sums: Covered) -> tuple[int, int]:
        return sums.total


class BranchCoverage(_CoverageRule):
    """At least so many of the branches have to be taken."""

    #: Which rule.
    rule: Literal["branch_coverage"]

    def _part(self, sums: Covered) -> tuple[int, int]:
        return sums.taken, sums.branches

    def _missing(self, facts: RunFacts, files: Sequence[FileSums]) -> str:
        unmeasured = files and not any(file.branched for file in files)
        return rules.NO_BRANCHES if unmeasured else super()._missing(facts, files)
