"""`gates`: the verdict on a run, with each rule, its value and its threshold."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails

from testbus_consumers.components import Placing
from testbus_consumers.gates.rules import PassRate, Rule, facts_of
from testbus_consumers.gates.tables import METADATA, VERDICT
from testbus_consumers.runtime import Consumer, Done, Outcome, RunCompletion, State, keep_until_replaced, state
from testbus_consumers.settings import Components, CoverageSettings, Section
from testbus_consumers.store.engine import insert
from testbus_schemas import FailedCause, FailedTest, GateEvaluated, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from testbus_consumers.gates import rules as judged
    from testbus_schemas import RuleEvaluated

#: Failing tests, and causes, that a verdict carries.
_FAILURES_CARRIED = 20
_CAUSES_CARRIED = 20


class GatesSettings(Section):
    """Section `consumers.gates`."""

    #: Those of the whole configuration, which rules name; before the rules, which are checked against them.
    components: Components = Field(default_factory=dict, exclude=True)
    #: Rules; those of severity `block` all have to pass.
    rules: tuple[Rule, ...] = Field(default=(PassRate(rule="pass_rate"),), min_length=1)
    #: Where measured files are in the repository; unset: what the section `coverage` says.
    coverage: CoverageSettings = CoverageSettings()

    @field_validator("rules")
    @classmethod
    def _distinct(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        labels = [rule.label for rule in rules]
        for label in dict.fromkeys(labels):
            places = [str(index) for index, other in enumerate(labels) if other == label]
            if len(places) > 1:
                raise ValueError(
                    f"{' and '.join(places)} are both called {label}, and a verdict could not distinguish them: "
                    "give each a `name` of its own"
                )
        return rules

    @field_validator("rules")
    @classmethod
    def _of_known_components(cls, rules: tuple[Rule, ...], info: ValidationInfo) -> tuple[Rule, ...]:
        known = info.data.get("components", {})
        unknown = [
            InitErrorDetails(
                type="value_error", loc=(at, "component"), input=named, ctx={"error": _unknown(named, known)}
            )
            for at, named in enumerate(rule.component for rule in rules)
            if named is not None and named not in known
        ]
        if unknown:
            # As if each had been found where it stands, so that the fault names its line.
            raise ValidationError.from_exception_data(cls.__name__, unknown)
        return rules

    @property
    def judged_components(self) -> tuple[str, ...]:
        """Return the components that rules name."""
        return tuple(dict.fromkeys(rule.component for rule in self.rules if rule.component))


def _unknown(name: str, known: Collection[str]) -> ValueError:
    there = f"expected one of: {', '.join(known)}" if known else "the section components names none"
    return ValueError(f"unknown component {name}; {there}")


def evaluate(completion: RunCompletion, state: State[GatesSettings]) -> Outcome:
    """Judge a run, and say so."""
    record = completion.record
    settings = state.settings
    placing = Placing(settings.components, completion.context.component)
    facts = facts_of(record, settings.coverage.rules, settings.judged_components, placing)
    rules = tuple(rule.judge(completion.context, facts) for rule in settings.rules)
    broken = tuple(rule for rule in rules if rule.outcome == "failed" and rule.severity == "block")
    verdict = _verdict(completion, broken)
    reasons = (*completion.reasons, *(rule.message for rule in broken))
    causes = _causes(facts.failures)
    data = GateEvaluated(
        context=completion.context,
        revision=completion.revision,
        verdict=verdict,
        rules=rules,
        reasons=reasons,
        counts=dict(facts.counts),
        total=facts.total,
        failures=_failures(facts.failures),
        causes=tuple(causes[:_CAUSES_CARRIED]),
        causes_total=len(causes),
        policy=_policy(settings),
        cancelled=completion.cancelled,
    )
    row = {
        **completion.key.values,
        "revision": completion.revision,
        "verdict": verdict.value,
        "evaluation": data.model_dump(mode="json"),
        "evaluated_at": state.now.timestamp(),
    }
    statement = insert(state.connection, VERDICT).values(**row)
    state.execute(statement.on_conflict_do_update(index_elements=[VERDICT.c.project, VERDICT.c.run], set_=row))
    state.emit(data, counted=(completion.event_id, record.digest, *reasons), policy=data.policy)
    return Done(verdict.value)


def _verdict(completion: RunCompletion, broken: Sequence[RuleEvaluated]) -> Verdict:
    if not completion.complete:
        return Verdict.INCOMPLETE
    return Verdict.FAILED if broken else Verdict.PASSED


def _failures(tests: Iterable[judged.FailedTest]) -> tuple[FailedTest, ...]:
    bad = sorted(tests, key=lambda test: (test.fingerprint, test.node_id))
    return tuple(
        FailedTest(
            node_id=test.node_id,
            variant=test.variant,
            outcome=test.outcome.value,
            fingerprint=test.fingerprint,
            type=test.type,
            message=test.message,
        )
        for test in bad[:_FAILURES_CARRIED]
    )


def _causes(tests: Iterable[judged.FailedTest]) -> list[FailedCause]:
    """Return what tests failed for, the cause of most tests first; those without a text are grouped by outcome."""
    by_cause: dict[str, list[judged.FailedTest]] = defaultdict(list)
    for test in tests:
        by_cause[test.fingerprint or test.outcome.value].append(test)
    ordered = sorted(by_cause.values(), key=lambda together: (-len(together), together[0].fingerprint))
    return [
        FailedCause(
            fingerprint=together[0].fingerprint,
            outcome=together[0].outcome.value,
            type=together[0].type,
            message=together[0].message,
            node_id=together[0].node_id,
            total=len(together),
        )
        for together in ordered
    ]


def _policy(settings: GatesSettings) -> str:
    """Return the version of the rules: other rules make another verdict of the same run."""
    policy_text = settings.model_dump_json(exclude=None if settings.coverage.paths else {"coverage"})
    if settings.judged_components:
        # All of them, in their order: what belongs to one depends on those before it.
        policy_text += repr([(name, one.paths, one.tests) for name, one in settings.components.items()])
    return hashlib.sha256(policy_text.encode()).hexdigest()[:12]


#: What is judged, and when.
CONSUMER = Consumer(
    name="gates",
    summary="judges complete runs by coverage and quality rules",
    settings=GatesSettings,
    on_complete=state(evaluate),
    metadata=METADATA,
    by_run=(VERDICT,),
    reset_run=keep_until_replaced,
    migrations="testbus_consumers.gates.migrations",
)
