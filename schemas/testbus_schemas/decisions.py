"""What consumers decided."""

from __future__ import annotations

from pydantic import Field

from testbus_schemas.events import EventData
from testbus_schemas.model import Model, OpenEnum


class Verdict(OpenEnum):
    """What the gates decided of a run."""

    PASSED = "passed"
    FAILED = "failed"
    #: Something is missing: never to be taken for `passed`.
    INCOMPLETE = "incomplete"
    #: A value that a newer consumer knows and this code does not.
    UNKNOWN = "unknown"


class RuleEvaluated(Model):
    """One rule, and what it found."""

    #: Name of the rule, as in the configuration.
    rule: str
    #: passed, failed or skipped (nothing to judge).
    outcome: str
    #: What was measured; None when there was nothing to measure.
    value: float | None = None
    #: What was asked for.
    threshold: float | None = None
    #: Unit of value and threshold.
    unit: str = ""
    #: The finding in one sentence.
    message: str
    #: Its own name, where one rule stands in the configuration several times; empty without one.
    name: str = ""
    #: block, or warn: a rule that only warns never makes the verdict `failed`.
    severity: str = "block"


class FailedTest(Model):
    """A test that failed, as short as a message needs it."""

    node_id: str
    variant: str = "default"
    #: How it ended.
    outcome: str
    #: Identity of the failure's root cause; empty when there was no failure text.
    fingerprint: str = ""
    #: Exception class.
    type: str = ""
    #: First line of the message.
    message: str = ""


class FailedCause(Model):
    """Tests that failed for one root cause."""

    #: Identity of the root cause; empty when there was no failure text.
    fingerprint: str = ""
    #: How the named test ended.
    outcome: str
    #: Exception class of the named test's failure.
    type: str = ""
    #: First line of its message.
    message: str = ""
    #: Node id of one of the tests.
    node_id: str
    #: How many tests there are, each in each variant.
    total: int = Field(ge=1)


class GateEvaluated(EventData):
    """The verdict on a run."""

    #: The decision of `runs` that this verdict stands on.
    revision: int = Field(ge=1)
    verdict: Verdict
    #: Every rule.
    rules: tuple[RuleEvaluated, ...]
    #: Why it is not `passed`, for people; empty when it is.
    reasons: tuple[str, ...] = ()
    #: Tests by outcome, the last attempt of each.
    counts: dict[str, int]
    #: Tests in all.
    total: int
    #: The first failing tests, equal causes together.
    failures: tuple[FailedTest, ...] = ()
    #: What tests failed for, the cause of most tests first; the first 20.
    causes: tuple[FailedCause, ...] = ()
    #: How many causes there are.
    causes_total: int = Field(default=0, ge=0)
    #: Version of the rules.
    policy: str = ""
    #: Whether an incomplete run is so because a person or the CI cancelled it: nobody has to be alarmed.
    cancelled: bool = False


class VerdictRequested(EventData):
    """Somebody waits for the verdict on the context's run; answered, never kept."""
