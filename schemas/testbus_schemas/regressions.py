"""Regressions: what became worse on a branch, reported once when it does and once when it is over."""

from __future__ import annotations

from pydantic import Field

from testbus_schemas.context import RunReference
from testbus_schemas.events import EventData
from testbus_schemas.model import OpenEnum

#: Tests that one event names.
MAX_TESTS_NAMED = 20


class RegressionKind(OpenEnum):
    """What became worse."""

    #: Tests fail that did not fail in the run they are compared with.
    TEST_FAILED = "test_failed"
    #: A component's coverage fell.
    COVERAGE_DROPPED = "coverage_dropped"
    #: A test failed and passed on one commit.
    TEST_FLAKY = "test_flaky"
    #: A value that a newer consumer knows and this code does not.
    UNKNOWN = "unknown"


class _Regression(EventData):
    """One cause; the context is that of the run in which it was found, or found to be over."""

    #: What became worse.
    kind: RegressionKind
    #: The cause within its project, suite and branch: what tells this alert from others, and joins its two events.
    cause: str = Field(min_length=1, max_length=64)
    #: What it is about, for people: a fingerprint, a node id or a component.
    subject: str
    #: Branch that it was found on; empty for a flaky test, which is one on every branch.
    branch: str = ""
    #: Run in which it was found.
    since: str
    #: Run that it was compared with; None when a single commit is the evidence.
    baseline_run: str | None = None
    #: Commit of that run.
    baseline_commit: str | None = None
    #: What was measured: percent covered, or how many tests fail.
    value: float | None = None
    #: The same in the run it was compared with.
    baseline_value: float | None = None
    #: Unit of both values: `%` or `tests`.
    unit: str = ""
    #: Node ids of the tests, sorted, the first `MAX_TESTS_NAMED`.
    tests: tuple[str, ...] = ()
    #: How many tests there are.
    total: int = Field(default=0, ge=0)
    #: Fingerprint that the failures share; empty when they share none.
    fingerprint: str = ""
    #: The run in which it was found, for people.
    since_run: RunReference | None = None
    #: The run that it was compared with, for people.
    baseline: RunReference | None = None
    #: Whether all of the tests passed in that run; None when that is not known.
    was_green: bool | None = None
    #: What one of the failures said, as `KeyError: 'platinum'`.
    example: str = ""
    #: Variant of the only test; empty for the default one, and for several tests.
    variant: str = ""
    #: The finding in one sentence.
    message: str


class RegressionDetected(_Regression):
    """Something became worse; reported once for each cause."""


class RegressionRecovered(_Regression):
    """What was reported to be worse is so no more; reported once for each cause."""
