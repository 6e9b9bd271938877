"""Rules about how the tests ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from testbus_consumers.gates.rule import BaseRule, Finding
from testbus_consumers.wording import rules

if TYPE_CHECKING:
    from testbus_consumers.gates.facts import RunFacts


class PassRate(BaseRule):
    """At least so many of the tests that ran have to pass; an expected failure passes."""

    unit: ClassVar[str] = "%"

    #: Which rule.
    rule: Literal["pass_rate"]
    #: Percent of the tests that were not skipped.
    minimum: float = Field(default=100.0, ge=0, le=100)

    def evaluate(self, facts: RunFacts) -> Finding:
        """Measure a run."""
        ran, bad = facts.ran, facts.failures
        if not ran:
            return Finding(value=None, threshold=self.minimum, told=rules.NO_TEST_RAN, passed=False)
        rate = 100.0 * (ran - len(bad)) / ran
        told = rules.passed(ran, [test.node_id for test in bad])
        return Finding(value=rate, threshold=self.minimum, told=told, passed=rate >= self.minimum)


class Failures(BaseRule):
    """At most so many tests may fail."""

    unit: ClassVar[str] = "tests"
    relations: ClassVar[tuple[str, str]] = ("at most", "above")

    #: Which rule.
    rule: Literal["failures"]
    #: Tests.
    maximum: int = Field(default=0, ge=0)

    def evaluate(self, facts: RunFacts) -> Finding:
        """Measure a run."""
        ran, bad = facts.ran, facts.failures
        told = rules.failing(ran, [test.node_id for test in bad])
        return Finding(value=len(bad), threshold=self.maximum, told=told, passed=len(bad) <= self.maximum)


class Tests(BaseRule):
    """At least so many tests have to run: a suite that lost half of its tests is not green."""

    #: Not for pytest to collect.
    __test__: ClassVar[bool] = False
    unit: ClassVar[str] = "tests"

    #: Which rule.
    rule: Literal["tests"]
    #: Tests that were not skipped, each in each variant.
    minimum: int = Field(ge=1)

    def evaluate(self, facts: RunFacts) -> Finding:
        """Measure a run."""
        ran = facts.ran
        told = rules.running(ran, facts.total)
        return Finding(value=ran, threshold=self.minimum, told=told, passed=ran >= self.minimum)
