"""The rules that a configuration can name."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from testbus_consumers.filters import RunFilter
from testbus_consumers.records.coverage import Covered, covered, percent, within
from testbus_consumers.wording import numbers, rules
from testbus_schemas import Outcome, RuleEvaluated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from testbus_consumers.components import Placing
    from testbus_consumers.records.coverage import FileSums
    from testbus_consumers.records.reading import Record
    from testbus_schemas import RunContext
    from testbus_schemas.path_rules import PathRules


@dataclass(frozen=True, kw_only=True)
class RuleFinding:
    """What a rule measured."""

    #: The value in the rule's unit; None when there was nothing to measure.
    value: float | None
    #: What was asked for.
    threshold: float
    #: What it was counted from, for people.
    detail: str
    #: Whether the rule is kept.
    passed: bool


class BaseRule(RunFilter):
    """One rule: its settings, which runs it applies to, and one function of the facts."""

    #: Unit of value and threshold.
    unit: ClassVar[str]
    #: Words between value and threshold when the rule is kept, and when it is not.
    relations: ClassVar[tuple[str, str]] = ("at least", "below")

    rule: str
    #: Its own name in verdicts, for one that stands in the configuration several times.
    name: str = Field(default="", max_length=64)
    #: Component that it is about; None: everything.
    component: str | None = None
    #: block makes the verdict `failed`; warn only shows it.
    severity: Literal["block", "warn"] = "block"

    @abstractmethod
    def evaluate(self, facts: RunFacts) -> RuleFinding:
        """Measure a run."""

    def judge(self, context: RunContext, facts: RunFacts) -> RuleEvaluated:
        """Judge a run, or say why the rule is not for it."""
        if elsewhere := self.mismatches(context):
            limits = [(one.field, one.globs) for one in elsewhere]
            return self._evaluated(outcome="skipped", message=rules.elsewhere(self.label, limits))
        if self.component and context.component not in {None, self.component}:
            limit = [("component", (self.component,))]
            return self._evaluated(outcome="skipped", message=rules.elsewhere(self.label, limit))
        found = self.evaluate(facts)
        unit = "%" if self.unit == "%" else ""
        relation = self.relations[0 if found.passed else 1]
        return self._evaluated(
            outcome="passed" if found.passed else "failed",
            value=None if found.value is None else numbers.kept(found.value, found.threshold),
            threshold=found.threshold,
            message=rules.judged(self.label, found.value, (relation, found.threshold, unit), found.detail),
        )

    def _evaluated(
        self, *, outcome: str, message: str, value: float | None = None, threshold: float | None = None
    ) -> RuleEvaluated:
        return RuleEvaluated(
            rule=self.rule,
            name=self.name or self.component or "",
            severity=self.severity,
            outcome=outcome,
            value=value,
            threshold=threshold,
            unit=self.unit,
            message=message,
        )

    @property
    def label(self) -> str:
        """Return what it is called in a verdict: `coverage`, or with a name `coverage of api`."""
        name = self.name or self.component
        return f"{self.rule} of {name}" if name else self.rule


class PassRate(BaseRule):
    """At least so many of the tests that ran have to pass; an expected failure passes."""

    unit: ClassVar[str] = "%"

    rule: Literal["pass_rate"]
    #: Percent of the tests that were not skipped.
    minimum: float = Field(default=100.0, ge=0, le=100)

    def evaluate(self, facts: RunFacts) -> RuleFinding:
        """Measure a run."""
        facts = facts.of(self.component)
        ran, bad = facts.ran, facts.failures
        if not ran:
            return RuleFinding(value=None, threshold=self.minimum, detail=rules.NO_TEST_RAN, passed=False)
        rate = 100.0 * (ran - len(bad)) / ran
        detail = rules.passed(ran, [test.node_id for test in bad])
        return RuleFinding(value=rate, threshold=self.minimum, detail=detail, passed=rate >= self.minimum)


class Failures(BaseRule):
    """At most so many tests may fail."""

    unit: ClassVar[str] = "tests"
    relations: ClassVar[tuple[str, str]] = ("at most", "above")

    rule: Literal["failures"]
    #: Tests.
    maximum: int = Field(default=0, ge=0)

    def evaluate(self, facts: RunFacts) -> RuleFinding:
        """Measure a run."""
        facts = facts.of(self.component)
        ran, bad = facts.ran, facts.failures
        detail = rules.failing(ran, [test.node_id for test in bad])
        return RuleFinding(value=len(bad), threshold=self.maximum, detail=detail, passed=len(bad) <= self.maximum)


class Tests(BaseRule):
    """At least so many tests have to run: a suite that lost half of its tests is not green."""

    #: Not for pytest to collect.
    __test__: ClassVar[bool] = False
    unit: ClassVar[str] = "tests"

    rule: Literal["tests"]
    #: Tests that were not skipped, each in each variant.
    minimum: int = Field(ge=1)

    def evaluate(self, facts: RunFacts) -> RuleFinding:
        """Measure a run."""
        facts = facts.of(self.component)
        ran = facts.ran
        detail = rules.running(ran, facts.total)
        return RuleFinding(value=ran, threshold=self.minimum, detail=detail, passed=ran >= self.minimum)


class _CoverageRule(BaseRule):
    """What the rules about coverage have in common: some files, and a percentage of it."""

    unit: ClassVar[str] = "%"

    #: Percent.
    minimum: float = Field(ge=0, le=100)
    #: Files, as globs (`src/api/**`); empty: all files.
    paths: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.component is not None and self.paths:
            raise ValueError("give component or paths, not both")
        return self

    def evaluate(self, facts: RunFacts) -> RuleFinding:
        """Measure a run."""
        files = within(facts.of(self.component).coverage, self.paths)
        missing = self._missing(facts, files)
        if missing:
            return RuleFinding(value=None, threshold=self.minimum, detail=missing, passed=False)
        part = self._part(covered(files))
        value = percent(part)
        detail = rules.covered(*part)
        return RuleFinding(value=value, threshold=self.minimum, detail=detail, passed=value >= self.minimum)

    @abstractmethod
    def _part(self, sums: Covered) -> tuple[int, int]:
        """Return what ran and what could have."""

    def _missing(self, facts: RunFacts, files: Sequence[FileSums]) -> str:
        """Return why there is nothing to measure, for people; empty when there is."""
        if not facts.coverage:
            return rules.NO_COVERAGE
        if not files:
            if self.component:
                return rules.not_of(len(facts.coverage), self.component)
            return rules.unmatched(len(facts.coverage), self.paths)
        return ""


class Coverage(_CoverageRule):
    """At least so much of the code has to run: lines and, where measured, branches, as coverage.py's total."""

    rule: Literal["coverage"]

    def _part(self, sums: Covered) -> tuple[int, int]:
        return sums.total


class BranchCoverage(_CoverageRule):
    """At least so many of the branches have to be taken."""

    rule: Literal["branch_coverage"]

    def _part(self, sums: Covered) -> tuple[int, int]:
        return sums.taken, sums.branches

    def _missing(self, facts: RunFacts, files: Sequence[FileSums]) -> str:
        unmeasured = files and not any(file.branched for file in files)
        return rules.NO_BRANCHES if unmeasured else super()._missing(facts, files)


#: Every rule, distinguished by its key `rule`.
Rule = Annotated[PassRate | Failures | Tests | Coverage | BranchCoverage, Field(discriminator="rule")]


#: Outcomes that say nothing about the code: these tests did not run.
_NOT_JUDGED: Final = frozenset({Outcome.SKIPPED, Outcome.NOT_RUN})


@dataclass(frozen=True, kw_only=True)
class FailedTest:
    """A test of one variant that needs a person, by its last attempt."""

    node_id: str
    variant: str
    #: How it ended.
    outcome: Outcome
    #: Identity of its failure's cause; empty when nothing was reported of it.
    fingerprint: str = ""
    #: Exception class.
    type: str = ""
    #: First line of the message.
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """A run, as the rules see it."""

    #: Tests of all variants, by how they ended.
    counts: Mapping[str, int]
    #: Those that need a person.
    failures: tuple[FailedTest, ...]
    #: Files; empty when nothing measured.
    coverage: tuple[FileSums, ...]
    #: Component → the run's part that belongs to it, of those that a rule names.
    parts: Mapping[str, RunFacts] = field(default_factory=dict)

    def of(self, component: str | None) -> RunFacts:
        """Return the part of a component; everything for None."""
        return self if component is None else self.parts[component]

    @property
    def total(self) -> int:
        """Return how many tests there are."""
        return sum(self.counts.values())

    @property
    def ran(self) -> int:
        """Return how many tests ran."""
        return self.total - sum(self.counts.get(outcome.value, 0) for outcome in _NOT_JUDGED)


def facts_of(record: Record, rules: PathRules, components: Collection[str], placing: Placing) -> RunFacts:
    """Return what the producers that count said of a run; `rules` say where measured files are.

    It has parts for `components`, to which files and tests belong as `placing` says.
    """
    whole = RunFacts(
        counts=record.counts,
        failures=tuple(
            FailedTest(
                node_id=test.node_id,
                variant=test.variant,
                outcome=test.outcome,
                fingerprint=test.fingerprint,
                type=test.type,
                message=test.line,
            )
            for test in record.failures()
        ),
        coverage=record.coverage(rules),
    )
    # Where no rule asks for a component, nobody has to look at each test.
    return replace(whole, parts=_parts(record, whole, components, placing)) if components else whole


def _parts(record: Record, whole: RunFacts, components: Iterable[str], placing: Placing) -> dict[str, RunFacts]:
    counts: dict[str | None, Counter[str]] = defaultdict(Counter)
    for test in record.tests():
        counts[placing.of_test(test.node_id)][test.outcome.value] += 1
    failures: dict[str | None, list[FailedTest]] = defaultdict(list)
    for failure in whole.failures:
        failures[placing.of_test(failure.node_id)].append(failure)
    files = placing.by_file(whole.coverage)
    return {
        name: RunFacts(counts=counts[name], failures=tuple(failures[name]), coverage=tuple(files.get(name, ())))
        for name in components
    }
