"""What all rules have in common: where they apply, how strict they are, and how they say what they found."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from testbus_consumers.globs import matches_name
from testbus_consumers.settings import Section
from testbus_consumers.wording import numbers, rules
from testbus_schemas import RuleEvaluated

if TYPE_CHECKING:
    from testbus_consumers.gates.facts import RunFacts
    from testbus_schemas import RunContext


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a rule measured."""

    #: The value in the rule's unit; None when there was nothing to measure.
    value: float | None
    #: What was asked for.
    threshold: float
    #: What it was counted from, for people.
    told: str
    #: Whether the rule is kept.
    passed: bool


class BaseRule(Section):
    """One rule: its settings, and one function of the facts."""

    #: Unit of value and threshold.
    unit: ClassVar[str]
    #: Words between value and threshold when the rule is kept, and when it is not.
    relations: ClassVar[tuple[str, str]] = ("at least", "below")

    #: Which rule.
    rule: str
    #: Its own name in verdicts, for one that stands in the configuration several times.
    name: str = Field(default="", max_length=64)
    #: block makes the verdict `failed`; warn only shows it.
    severity: Literal["block", "warn"] = "block"
    #: Stages that it applies to, as globs; empty: all, also runs that name no stage.
    stages: tuple[str, ...] = ()
    #: Projects that it applies to, as globs; empty: all.
    projects: tuple[str, ...] = ()
    #: Branches that it applies to, as globs; empty: all.
    branches: tuple[str, ...] = ()

    @abstractmethod
    def evaluate(self, facts: RunFacts) -> Finding:
        """Measure a run."""

    def judge(self, context: RunContext, facts: RunFacts) -> RuleEvaluated:
        """Judge a run, or say why the rule is not for it."""
        if elsewhere := self._elsewhere(context):
            return self._evaluated(outcome="skipped", message=rules.elsewhere(self.label, elsewhere))
        found = self.evaluate(facts)
        unit = "%" if self.unit == "%" else ""
        relation = self.relations[0 if found.passed else 1]
        return self._evaluated(
            outcome="passed" if found.passed else "failed",
            value=None if found.value is None else numbers.kept(found.value, found.threshold),
            threshold=found.threshold,
            message=rules.judged(self.label, found.value, (relation, found.threshold, unit), found.told),
        )

    def _evaluated(
        self, *, outcome: str, message: str, value: float | None = None, threshold: float | None = None
    ) -> RuleEvaluated:
        return RuleEvaluated(
            rule=self.rule,
            name=self.name,
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
        return f"{self.rule} of {self.name}" if self.name else self.rule

    def _elsewhere(self, context: RunContext) -> list[tuple[str, tuple[str, ...]]]:
        """Return what the rule is limited to and the run is not; empty when it applies."""
        limits = (
            ("stage", context.stage, self.stages),
            ("project", context.project, self.projects),
            ("branch", context.branch, self.branches),
        )
        return [(what, globs) for what, name, globs in limits if globs and not matches_name(name, globs)]
