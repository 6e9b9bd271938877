"""Every kind of message with an example: what the golden texts were written for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.wording import issues, launches, markdown, regressions, rules, runs, slack
from testbus_consumers.wording.notice import Bullets, Heading, Paragraph, Preformatted, Table
from testbus_schemas import (
    FailedCause,
    GateEvaluated,
    IssueLinked,
    LaunchLinked,
    RegressionDetected,
    RegressionRecovered,
    RuleEvaluated,
    RunContext,
    RunReference,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_consumers.wording.notice import Block, Line, Notice

START: Final = datetime(2026, 11, 20, 11, 13, 26, tzinfo=UTC)

CONTEXT: Final = RunContext(
    project="shop",
    run="github:acme/shop:4711:unit",
    suite="unit",
    repository="acme/shop",
    commit="4b1c2f9" + "0" * 33,
    branch="main",
    build_url="https://ci.example/102",
    run_number="102",
    started_at=START,
)

#: A run on somebody's own machine.
LOCAL: Final = CONTEXT.model_copy(
    update={"run": "01a1fed6-2ab2-7c89-96da-5828b187a342", "run_number": None, "build_url": None}
)

#: The run that recovered.
LATER: Final = CONTEXT.model_copy(
    update={"run": "github:acme/shop:4712:unit", "commit": "5c2d3e1" + "0" * 33, "run_number": "103"}
)

PULL: Final = CONTEXT.model_copy(update={"pull_request": "7"})

BEFORE: Final = RunReference(
    run="github:acme/shop:4710:unit", number="101", build_url="https://ci.example/101", started_at=START
)

SINCE: Final = RunReference(
    run=CONTEXT.run, number="102", commit=CONTEXT.commit, build_url=CONTEXT.build_url, started_at=START
)

LAUNCH: Final = LaunchLinked(
    context=CONTEXT, target="eu", uuid="u-1", number=7, url="https://rp.example/ui/#shop/launches/all/7"
)

SHORT: Final = runs.Whereabouts(took=timedelta(minutes=7, seconds=42))

LINKED: Final = runs.Whereabouts(
    report_url="https://report.example/?run=github%3Aacme%2Fshop%3A4711%3Aunit",
    launches=(LAUNCH,),
    took=timedelta(minutes=7, seconds=42),
)

GROUPS: Final = "NameError", "name 'GROUPS' is not defined"

ISSUE: Final = IssueLinked(
    context=CONTEXT,
    fingerprint="v1:0",
    tracker="jira",
    key="SHOP-17",
    url="https://jira.example/browse/SHOP-17",
    title="shop · tests/test_groups.py: NameError: name 'GROUPS' is not defined",
    status="To Do",
    total=24,
    action="created",
)


def rule(rule_name: str, value: float, threshold: float, **fields: Any) -> RuleEvaluated:
    """Return a rule that failed, by default one of percents that blocks."""
    return RuleEvaluated(
        rule=rule_name, outcome="failed", value=value, threshold=threshold, unit="%", message=f"{rule_name} …", **fields
    )


def cause(number: int, kind: str, message: str, node_id: str, total: int = 1) -> FailedCause:
    """Return a cause."""
    return FailedCause(
        fingerprint=f"v1:{number}", outcome="failed", type=kind, message=message, node_id=node_id, total=total
    )


def judged(verdict: str, counts: dict[str, int], *causes: FailedCause, **fields: Any) -> GateEvaluated:
    """Return a verdict."""
    data = {"context": CONTEXT, "revision": 1, "rules": (), "causes_total": len(causes)} | fields
    return GateEvaluated(verdict=verdict, counts=counts, total=sum(counts.values()), causes=causes, **data)


MANY: Final = judged(
    "failed",
    {"passed": 1177, "failed": 24, "skipped": 3},
    cause(0, *GROUPS, "tests/test_groups.py::test_00", 24),
    context=PULL,
    rules=(rule("pass_rate", 98.0016, 100),),
)

PLATINUM: Final = cause(1, "KeyError", "'platinum'", "tests/test_a.py::test_x")

PASSED: Final = judged("passed", {"passed": 1204})

INCOMPLETE: Final = judged(
    "incomplete",
    {"passed": 1201, "failed": 3},
    cause(1, "KeyError", "'platinum'", "tests/test_a.py::test_x", 3),
    reasons=("shard 2 of 2 never reported",),
)

_REGRESSION: Final = {
    "context": CONTEXT,
    "kind": "test_failed",
    "cause": "tests:v1:0",
    "subject": "v1:0",
    "since": CONTEXT.run,
    "since_run": SINCE,
    "baseline_run": BEFORE.run,
    "baseline": BEFORE,
    "was_green": True,
    "fingerprint": "v1:0",
    "message": "…",
}

_TESTS: Final = tuple(f"tests/test_groups.py::test_{number:02}" for number in range(20))

_ONE: Final = {"tests": ("tests/test_cart.py::test_total",), "total": 1, "example": "KeyError: 'platinum'"}

_FLAKY: Final = {
    "kind": "test_flaky",
    "tests": ("tests/test_rates.py::test_a_euro_is_a_euro",),
    "total": 1,
    "baseline": None,
    "was_green": None,
    "example": "TimeoutError: no rate within 3 s",
}

_COVERAGE: Final = {"kind": "coverage_dropped", "subject": "payments", "unit": "%", "was_green": None}


def _worse(*, alone: bool = False, **fields: Any) -> Notice:
    return regressions.detected(RegressionDetected(**_REGRESSION | fields), alone=alone)


def _over(**fields: Any) -> Notice:
    return regressions.recovered(RegressionRecovered(**_REGRESSION | {"context": LATER} | fields))


def _verdict(data: GateEvaluated, where: runs.Whereabouts = SHORT, issue: IssueLinked | None = None) -> Notice:
    known = {issue.fingerprint: issue} if issue else {}
    return runs.judged(data.context, runs.standing(data), where, known)


def in_slack() -> dict[str, Notice]:
    """Return what Slack shows."""
    nowhere = runs.Whereabouts()
    unbuilt = {"context": LOCAL}
    return {
        "a run has started": runs.running(CONTEXT, over=False, where=nowhere),
        "a run is over, and the gates have not decided": runs.running(CONTEXT, over=True, where=nowhere),
        "a run passed": _verdict(PASSED, LINKED),
        "a run passed, with tests skipped and a warning": _verdict(
            judged(
                "passed",
                {"passed": 1201, "skipped": 3},
                rules=(rule("branch_coverage", 61.2, 70, severity="warn"),),
            )
        ),
        "many tests failed for one cause": _verdict(MANY, LINKED, ISSUE),
        "tests failed for several causes, and coverage fell below its rule, on somebody's own machine": _verdict(
            judged(
                "failed",
                {"passed": 29_996, "failed": 4},
                cause(2, "builtins.ValueError", "no order 17", "tests/test_b.py::test_1", 3),
                PLATINUM.model_copy(update={"node_id": "tests/test_a.py::test_x[no-<user>&co]"}),
                rules=(rule("pass_rate", 99.9866, 100), rule("coverage", 83.6363, 85, name="payments")),
                **unbuilt,
            )
        ),
        "one test of several thousand failed": _verdict(
            judged(
                "failed", {"passed": 29_999, "failed": 1}, PLATINUM, rules=(rule("pass_rate", 99.9966, 100),), **unbuilt
            )
        ),
        "no test failed, but a rule did": _verdict(
            judged("failed", {"passed": 18}, rules=(rule("coverage", 83.6363, 85),), **unbuilt)
        ),
        "more causes than a message names": _verdict(
            judged(
                "failed",
                {"passed": 15, "failed": 25},
                *(cause(n, "KeyError", f"'p{n}'", f"tests/test_a.py::test_{n}", 1 + (n == 0)) for n in range(20)),
                causes_total=24,
                **unbuilt,
            )
        ),
        "a part of a run is missing": _verdict(INCOMPLETE.model_copy(update=unbuilt)),
        "several parts of a run are missing, and tests never reported": _verdict(
            judged(
                "incomplete",
                {"passed": 1200, "failed": 1, "not_reported": 3},
                FailedCause(outcome="not_reported", node_id="tests/test_a.py::test_y", total=3),
                PLATINUM,
                reasons=("shard 2 of 2 never reported", "producer 0192f0c1 was lost"),
                **unbuilt,
            )
        ),
        "a run was cancelled": _verdict(
            judged("incomplete", {"passed": 41, "skipped": 3}, reasons=("cancelled",), cancelled=True, **unbuilt)
        ),
        "a verdict no longer holds": runs.reopened(LOCAL, "shard 3 came late", runs.standing(MANY), nowhere),
        "tests fail that passed before": _worse(tests=_TESTS, total=24, example=": ".join(GROUPS)),
        "one test fails that passed before, in a channel of its own": _worse(alone=True, **_ONE),
        "a new test fails in a variant, and no commit is known": _worse(
            **_ONE, variant="py3.12", was_green=False, since_run=SINCE.model_copy(update={"commit": None})
        ),
        "everything fails at once": _worse(tests=_TESTS, total=31, fingerprint="", example="KeyError: 'platinum'"),
        "coverage fell": _worse(**_COVERAGE, value=83.6363, baseline_value=93.75),
        "a test is flaky": _worse(**_FLAKY),
        "tests do not fail any more": _over(tests=_TESTS, total=24),
        "coverage is back": _over(**_COVERAGE, value=93.8),
        "a test is flaky no more": _over(**_FLAKY),
        "an issue was created": issues.linked_issue(ISSUE),
        "an issue was there, in a channel of its own": issues.linked_issue(
            ISSUE.model_copy(update={"total": 1, "status": "In Progress", "action": "updated"}), alone=True
        ),
    }


def slack_lines(notice: Notice) -> Iterator[str]:
    """Yield what a person reads: the lines of all blocks."""
    for block in slack.render(notice).blocks:
        yield from (block["text"]["text"] if "text" in block else block["elements"][0]["text"]).splitlines()


_FIRST: Final = issues.SeenRun(
    run=CONTEXT.run,
    number="102",
    build_url=CONTEXT.build_url,
    launches=(LAUNCH,),
    at=START.timestamp(),
    suite="shop · unit",
    branch="main",
    commit=CONTEXT.commit,
    tests=24,
)

_LATEST: Final = issues.SeenRun(
    run=LATER.run,
    number="103",
    build_url="https://ci.example/103",
    launches=(),
    at=START.timestamp() + 3600,
    suite="shop · unit",
    branch="main",
    commit=LATER.commit,
    tests=1024,
)


def in_jira() -> dict[str, str]:
    """Return what Jira shows; links as `*words*(address)`, code in backquotes."""
    tests = tuple(f"tests/test_groups.py::test_{number:02}" for number in range(24))
    folder = "/home/anna/work/shop/tests/fixtures/orders.json"
    apart = tuple(f"tests/api/test_{name}.py::test_{number}" for name in "abc" for number in range(2))
    history = issues.IssueHistory(runs=2, first=_FIRST, latest=(_LATEST, _FIRST))
    label = "testbus-v1-0123456789abcdef"
    failure = "E   NameError: name 'GROUPS' is not defined"
    description = [
        *issues.description(*GROUPS, tests, failure),
        *issues.occurrences(history, 10),
        issues.hint(label, CONTEXT.run, None),
    ]
    seen = issues.SeenRun(**vars(_LATEST) | {"launches": (LAUNCH,), "tests": 24})
    back = issues.SeenRun(**vars(_LATEST) | {"tests": 1})
    return {
        "summary, tests of one module": issues.summary("shop", *GROUPS, tests),
        "summary, tests of several modules": issues.summary(
            "shop", "builtins.FileNotFoundError", f"[Errno 2] No such file or directory: {folder!r}", apart
        ),
        "summary, a failure without a message": issues.summary(
            "shop", "", "", ("tests/test_groups.py::TestPaying::test_refund",)
        ),
        "summary, a class of another language": issues.summary(
            "shop", "java.lang.IllegalStateException", "no basket", ("com.acme.shop.CartTest::adds",)
        ),
        "description": jira_text(description),
        "comment": jira_text([issues.comment(seen, 2, reopened=False)]),
        "comment on an issue that was closed": jira_text([issues.comment(back, 1_002, reopened=True)]),
    }


def jira_text(blocks: list[Block]) -> str:
    """Return blocks for a reviewer, whichever of Jira's markups they are written in."""
    return "\n\n".join(map(_jira_block, blocks))


def _jira_block(block: Block) -> str:
    match block:
        case Heading():
            return f"## {block.text}"
        case Paragraph():
            return _jira_line(block.line)
        case Bullets():
            lines = [f"- {_jira_line(line)}" for line in block.lines]
            return "\n".join(lines)
        case Preformatted():
            return "\n".join(f"    {line}" for line in block.text.splitlines())
        case Table():
            rows = [list(block.head), *([_jira_line(cell) for cell in row] for row in block.rows)]
            return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _jira_line(line: Line) -> str:
    return "".join(
        f"*{span.text}*({span.url})" if span.url else f"`{span.text}`" if span.code and span.text else span.text
        for span in line
    )


def in_reportportal() -> dict[str, str]:
    """Return the descriptions of launches."""
    unbuilt = {"run": "x`y **Passed**", "build_url": "javascript:alert(1)", "run_number": None, "branch": None}
    odd = CONTEXT.model_copy(update=unbuilt | {"commit": None})
    forged = judged(
        "failed",
        {"passed": 1, "failed": 1},
        cause(0, "KeyError", "`x` **Passed** [a](javascript:alert(1)) <b>", "test_a"),
        rules=(rule("pass_rate", 50, 100),),
    )
    missing = ("shard 2 of 2 never reported",)
    return {
        "a launch has started": _launch(CONTEXT),
        "a launch passed": _launch(CONTEXT, launches.verdict(PASSED)),
        "a launch failed": _launch(PULL, launches.verdict(MANY)),
        "a launch failed by a rule only": _launch(
            CONTEXT, launches.verdict(judged("failed", {"passed": 18}, rules=(rule("coverage", 83.6363, 85),)))
        ),
        "a launch whose run is incomplete, before the gates have decided": _launch(
            CONTEXT, launches.incomplete(missing)
        ),
        "a launch whose run is incomplete": _launch(CONTEXT, launches.verdict(INCOMPLETE)),
        "a launch whose run was cancelled": _launch(
            CONTEXT, launches.verdict(judged("incomplete", {"passed": 41}, reasons=("cancelled",), cancelled=True))
        ),
        "names that would be markup": _launch(odd, launches.verdict(forged)),
    }


def _launch(context: RunContext, told: Line = ()) -> str:
    return "\n\n".join(markdown.line(line) for line in (told, launches.origin(context)) if line)


def of_rules() -> dict[str, str]:
    """Return each sentence of a rule, as page and terminal show it."""
    bad = [f"tests/test_cart.py::test_{name}" for name in ("empty", "gold", "tax", "total")]
    return {
        "a pass rate that is kept": rules.judged("pass_rate", 100.0, ("at least", 100, "%"), rules.passed(1204, [])),
        "a pass rate of one test": rules.judged("pass_rate", 100.0, ("at least", 100, "%"), rules.passed(1, [])),
        "a pass rate that is not": rules.judged("pass_rate", 77.777, ("below", 100, "%"), rules.passed(18, bad)),
        "a pass rate that is missed by a little": rules.judged(
            "pass_rate", 99.9966, ("below", 100, "%"), rules.passed(30_000, bad[:1])
        ),
        "nothing ran": rules.judged("pass_rate", None, ("below", 100, "%"), rules.NO_TEST_RAN),
        "failures that are allowed": rules.judged("failures of api", 2, ("at most", 5, ""), rules.failing(40, bad[:2])),
        "no failures": rules.judged("failures", 0, ("at most", 0, ""), rules.failing(40, [])),
        "too few tests": rules.judged("tests", 1, ("below", 1000, ""), rules.running(1, 1204)),
        "coverage": rules.judged("coverage of payments", 83.636, ("below", 85, "%"), rules.covered(46, 55)),
        "no coverage": rules.judged("coverage", None, ("below", 85, "%"), rules.NO_COVERAGE),
        "no branches": rules.judged("branch_coverage", None, ("below", 70, "%"), rules.NO_BRANCHES),
        "no such files": rules.judged("coverage", None, ("below", 85, "%"), rules.unmatched(1, ("src/**", "lib/**"))),
        "not for this run": rules.elsewhere("coverage", [("stage", ("nightly",)), ("branch", ("main", "release/*"))]),
    }
