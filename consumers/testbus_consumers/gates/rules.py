"""The rules: each is its settings and one function of the facts."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from testbus_consumers.settings import Section
from testbus_schemas import Outcome, RuleEvaluated

if TYPE_CHECKING:
    from testbus_consumers.gates.facts import RunFacts

#: Outcomes that say nothing about the code: they are left out of the rate.
_NOT_JUDGED = frozenset({Outcome.SKIPPED, Outcome.NOT_RUN})

#: Tests that a message names.
_NAMED = 3


class PassRate(Section):
    """At least so many of the tests that ran have to pass; an expected failure passes."""

    #: Which rule.
    rule: Literal["pass_rate"]
    #: Percent of the tests that were not skipped.
    minimum: float = Field(default=100.0, ge=0, le=100)

    def evaluate(self, facts: RunFacts) -> RuleEvaluated:
        """Judge a run."""
        judged = [test for test in facts.tests if test.outcome not in _NOT_JUDGED]
        bad = [test for test in judged if test.outcome.bad]
        if not judged:
            return _found(self.rule, None, self.minimum, "no test ran", passed=False)
        rate = 100.0 * (len(judged) - len(bad)) / len(judged)
        names = ", ".join(test.node_id for test in bad[:_NAMED]) + (" …" if len(bad) > _NAMED else "")
        told = f"{len(bad)} of {len(judged)} tests did not pass: {names}" if bad else f"all {len(judged)} tests passed"
        return _found(self.rule, rate, self.minimum, told, passed=rate >= self.minimum)


class Coverage(Section):
    """At least so much of the code has to run: lines and, where measured, branches, as coverage.py's total."""

    #: Which rule.
    rule: Literal["coverage"]
    #: Percent.
    minimum: float = Field(ge=0, le=100)

    def evaluate(self, facts: RunFacts) -> RuleEvaluated:
        """Judge a run."""
        ran, could = facts.covered
        if not facts.coverage:
            told = "no coverage was recorded: run pytest with --cov, or drop the rule"
            return _found(self.rule, None, self.minimum, told, passed=False)
        total = 100.0 * ran / could if could else 100.0
        return _found(self.rule, total, self.minimum, f"{ran} of {could} covered", passed=total >= self.minimum)


#: Every rule.
Rule = Annotated[PassRate | Coverage, Field(discriminator="rule")]


def _found(rule: str, value: float | None, threshold: float, told: str, *, passed: bool) -> RuleEvaluated:
    measured = "nothing measured" if value is None else f"{_percent(value)} %"
    relation = "at least" if passed else "below"
    return RuleEvaluated(
        rule=rule,
        outcome="passed" if passed else "failed",
        value=None if value is None else _cut(value, 4),
        threshold=threshold,
        unit="%",
        message=f"{rule} {measured}, {relation} {_percent(threshold)} %: {told}",
    )


def _percent(value: float) -> str:
    """Return a percentage that never rounds up to the threshold it missed: two decimals, cut."""
    return f"{_cut(value, 2):g}"


def _cut(value: float, decimals: int) -> float:
    """Return a number with its further decimals cut off, in decimal arithmetic: 4.35 stays 4.35."""
    return float(Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_DOWN))
