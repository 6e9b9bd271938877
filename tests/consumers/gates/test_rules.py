"""Each rule and its options, through the consumer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from testbus_consumers.errors import SettingsError
from testbus_consumers.filters import matches_path
from testbus_consumers.gates import CONSUMER
from testbus_consumers.settings import parse
from testbus_schemas import CoverageRecorded, FileCoverage, Origin, produced

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_schemas import Event, EventData, GateEvaluated
    from tests.consumers.gates.judged import Judged

    Judge = Callable[..., Judged]

#: Path → lines that can run, those that did, branches, those taken.
Measured = dict[str, tuple[str, str, tuple[tuple[int, int], ...] | None, tuple[tuple[int, int], ...] | None]]

#: Two components, one of them without branches, and a file of neither.
FILES: Measured = {
    "src/api/v1/users.py": ("1-10", "1-9", ((1, 2), (1, 3)), ((1, 2),)),
    "src/api/app.py": ("1-10", "1-10", ((1, 2), (1, 3)), ((1, 2), (1, 3))),
    "src/web/page.py": ("1-4", "1", (), ()),
    "tools/build.py": ("1-6", "", None, None),
}

#: Components of them, and of the tests in them.
COMPONENTS = {
    "api": {"paths": ["src/api/**"], "tests": ["**test_api*"]},
    "web": {"paths": ["src/web/**"], "tests": ["**test_web*"]},
    "db": {"paths": ["src/db/**"], "tests": ["**test_db*"]},
}


def measured(producer: FakeProducer, files: Measured) -> Event[EventData]:
    """Return a coverage.recorded of these files."""
    producer.sequence += 1
    recorded = tuple(
        FileCoverage(path=path, statements=lines[0], executed=lines[1], branches=lines[2], executed_branches=lines[3])
        for path, lines in files.items()
    )
    origin = Origin(id=producer.name, sequence=producer.sequence)
    return produced(CoverageRecorded(context=producer.context, producer=origin, files=recorded))


def verdict_of(judge: Judge, *rules: dict[str, Any], outcomes: dict[str, str] | None = None, **context: Any) -> Any:
    """Return the verdict on a run with these outcomes and the coverage of `FILES`."""
    judged = judge(*rules)
    producer = FakeProducer(**context)
    ended = outcomes if outcomes is not None else {"test_a": "passed"}
    judged.deliver(producer.started(), producer.results(**ended), measured(producer, FILES), producer.finished())
    verdict: GateEvaluated = judged.verdict
    return verdict


def test_rules_judge_what_belongs_to_their_component(judge: Judge) -> None:
    """Its tests and its files; what is of another, or of none, does not count."""
    outcomes = {"test_api_a": "passed", "test_api_b": "skipped", "test_web": "failed", "test_x": "failed"}
    rules = [
        {"rule": "pass_rate", "component": "api"},
        {"rule": "tests", "minimum": 2, "component": "api"},
        {"rule": "failures", "component": "web"},
        {"rule": "failures", "component": "db", "name": "database"},
        {"rule": "coverage", "minimum": 90, "component": "api"},
        {"rule": "branch_coverage", "minimum": 90, "component": "api"},
        {"rule": "coverage", "minimum": 1, "component": "db"},
        {"rule": "failures", "maximum": 2},
    ]
    verdict = verdict_of(partial(judge, components=COMPONENTS), *rules, outcomes=outcomes)
    assert [one.message for one in verdict.rules] == [
        "pass_rate of api 100 %, at least 100 %: the only test passed",
        "tests of api 1, below 2: 1 ran, 1 did not",
        "failures of web 1, above 0: test_web of 1 test",
        "failures of database 0, at most 0: none of 0 tests",
        "coverage of api 91.66 %, at least 90 %: 22 of 24 covered",
        "branch_coverage of api 75 %, below 90 %: 3 of 4 covered",
        "coverage of db nothing measured, below 1 %: none of 4 measured files belongs to component db",
        "failures 2, at most 2: test_web, test_x of 3 tests",
    ]
    assert [one.name for one in verdict.rules[:4]] == ["api", "api", "web", "database"]


def test_a_run_of_one_component_is_judged_as_that(judge: Judge) -> None:
    """All of its tests and files belong to the component that it names; rules of others are not for it."""
    rules = [{"rule": "tests", "minimum": 1, "component": "web"}, {"rule": "coverage", "minimum": 1, "component": "db"}]
    verdict = verdict_of(partial(judge, components=COMPONENTS), *rules, component="db")
    assert [(one.outcome, one.message) for one in verdict.rules] == [
        ("skipped", "tests of web: only for component web"),
        ("passed", "coverage of db 67.64 %, at least 1 %: 23 of 34 covered"),
    ]


def test_other_components_are_another_policy(judge: Judge) -> None:
    """Where a rule names one; else a change of the map judges nothing differently."""
    fewer = {"api": COMPONENTS["api"]}
    named, plain = {"rule": "tests", "minimum": 1, "component": "api"}, {"rule": "tests", "minimum": 1}
    policies = [
        [verdict_of(partial(judge, components=components), rule).policy for components in (fewer, COMPONENTS)]
        for rule in (named, plain)
    ]
    assert [len(set(one)) for one in policies] == [2, 1]


@pytest.mark.parametrize(
    ("options", "outcome", "value", "message"),
    [
        (
            {"rule": "coverage", "minimum": 75},
            "failed",
            67.6470,
            "coverage 67.64 %, below 75 %: 23 of 34 covered",
        ),
        (
            {"rule": "coverage", "minimum": 90, "paths": ["src/api/**"], "name": "api"},
            "passed",
            91.6666,
            "coverage of api 91.66 %, at least 90 %: 22 of 24 covered",
        ),
        (
            {"rule": "coverage", "minimum": 90, "paths": ["src/api/*.py"]},
            "passed",
            100.0,
            "coverage 100 %, at least 90 %: 12 of 12 covered",
        ),
        (
            {"rule": "coverage", "minimum": 20, "paths": ["src/web/", "tools/*"], "name": "rest"},
            "failed",
            10.0,
            "coverage of rest 10 %, below 20 %: 1 of 10 covered",
        ),
        (
            {"rule": "coverage", "minimum": 0, "paths": ["lib/**"], "name": "lib"},
            "failed",
            None,
            "coverage of lib nothing measured, below 0 %: none of 4 measured files matches lib/**",
        ),
        (
            {"rule": "branch_coverage", "minimum": 75},
            "passed",
            75.0,
            "branch_coverage 75 %, at least 75 %: 3 of 4 covered",
        ),
        (
            {"rule": "branch_coverage", "minimum": 80, "paths": ["**/v1/*"], "name": "v1"},
            "failed",
            50.0,
            "branch_coverage of v1 50 %, below 80 %: 1 of 2 covered",
        ),
        (
            {"rule": "branch_coverage", "minimum": 80, "paths": ["src/web/**"]},
            "passed",
            100.0,
            "branch_coverage 100 %, at least 80 %: 0 of 0 covered",
        ),
        (
            {"rule": "branch_coverage", "minimum": 1, "paths": ["tools/**"]},
            "failed",
            None,
            (
                "branch_coverage nothing measured, below 1 %: branches were not measured: "
                "run pytest with --cov-branch, or drop the rule"
            ),
        ),
    ],
)
def test_coverage_of_components(
    judge: Judge, options: dict[str, Any], outcome: str, value: float | None, message: str
) -> None:
    """A component is what its globs match; its lines and branches are counted as coverage.py counts them."""
    (rule,) = verdict_of(judge, options).rules
    assert (rule.outcome, rule.value, rule.message) == (outcome, value, message)
    assert (rule.name, rule.unit) == (options.get("name", ""), "%")


@pytest.mark.parametrize(
    ("options", "outcome", "value", "message"),
    [
        ({"rule": "tests", "minimum": 4}, "passed", 4, "tests 4, at least 4: 4 ran, 2 did not"),
        ({"rule": "tests", "minimum": 5}, "failed", 4, "tests 4, below 5: 4 ran, 2 did not"),
        ({"rule": "failures"}, "failed", 2, "failures 2, above 0: b, c of 4 tests"),
        ({"rule": "failures", "maximum": 2}, "passed", 2, "failures 2, at most 2: b, c of 4 tests"),
        (
            {"rule": "pass_rate", "minimum": 50},
            "passed",
            50,
            "pass_rate 50 %, at least 50 %: 2 of 4 tests did not pass",
        ),
    ],
)
def test_counts_of_tests(judge: Judge, options: dict[str, Any], outcome: str, value: float, message: str) -> None:
    """What was skipped did not run: it neither reaches a minimum nor counts as a failure."""
    outcomes = {"a": "passed", "b": "failed", "c": "error", "d": "xfailed", "e": "skipped", "f": "not_run"}
    (rule,) = verdict_of(judge, options, outcomes=outcomes).rules
    assert (rule.outcome, rule.value) == (outcome, value)
    assert rule.message.startswith(message)


def test_a_rule_that_warns_never_fails_the_verdict(judge: Judge) -> None:
    """It is shown with what it found, and is no reason."""
    warns = {"rule": "coverage", "minimum": 99, "severity": "warn"}
    verdict = verdict_of(judge, {"rule": "pass_rate"}, warns)
    assert (verdict.verdict, verdict.reasons) == ("passed", ())
    assert [(rule.outcome, rule.severity) for rule in verdict.rules] == [("passed", "block"), ("failed", "warn")]
    verdict = verdict_of(judge, {"rule": "tests", "minimum": 2}, warns)
    assert (verdict.verdict, len(verdict.reasons)) == ("failed", 1)


@pytest.mark.parametrize(
    ("limits", "context", "applies"),
    [
        ({"stages": ["integration", "e2e"]}, {"stage": "e2e"}, True),
        ({"stages": ["integration"]}, {"stage": "unit"}, False),
        ({"stages": ["integration"]}, {}, False),
        ({"projects": ["we*"]}, {}, True),
        ({"projects": ["shop"]}, {}, False),
        ({"branches": ["main", "release/*"]}, {"branch": "release/1/rc"}, True),
        ({"branches": ["main"]}, {"branch": "feature"}, False),
        ({"stages": ["unit"], "branches": ["main"]}, {"stage": "unit", "branch": "feature"}, False),
    ],
)
def test_a_rule_applies_where_it_is_limited_to(
    judge: Judge, limits: dict[str, Any], context: dict[str, Any], *, applies: bool
) -> None:
    """Elsewhere it is shown as skipped, with what it is for."""
    verdict = verdict_of(judge, {"rule": "coverage", "minimum": 99} | limits, **context)
    assert verdict.verdict == ("failed" if applies else "passed")
    assert [rule.outcome for rule in verdict.rules] == ["failed" if applies else "skipped"]
    if not applies:
        assert verdict.rules[0].message.startswith("coverage: only for ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rule": "speed"}, "consumers.gates.rules.0"),
        ({"rule": "coverage"}, "minimum"),
        ({"rule": "coverage", "minimum": 101}, "minimum"),
        ({"rule": "tests", "minimum": 0}, "minimum"),
        ({"rule": "failures", "maximum": -1}, "maximum"),
        ({"rule": "failures", "paths": ["a"]}, "paths"),
        ({"rule": "pass_rate", "severity": "fatal"}, "severity"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_key(options: dict[str, Any], told: str) -> None:
    """Nothing in a configuration is passed over."""
    with pytest.raises(SettingsError, match=told):
        parse(CONSUMER.settings, {"rules": [options]}, "testbus.yaml", "consumers.gates")


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("src/api/**", "src/api/a.py", True),
        ("src/api/**", "src/api/v1/a.py", True),
        ("src/api/**", "src/apis/a.py", False),
        ("src/**/a.py", "src/a.py", True),
        ("src/**/a.py", "src/x/y/a.py", True),
        ("**/*.py", "a.py", True),
        ("*.py", "src/a.py", False),
        ("./src/*", "src/a.py", True),
        ("src/", "src/x/a.py", True),
        ("src", "src/a.py", False),
        ("a?.py", "ab.py", True),
        ("a[b].py", "a[b].py", True),
        ("**", "any/thing", True),
    ],
)
def test_globs_of_paths(glob: str, path: str, *, matches: bool) -> None:
    """One star stays within a folder, two do not; nothing else is special but the question mark."""
    assert matches_path(path, [glob]) is matches
