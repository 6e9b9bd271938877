"""How each test of a run ended, and what those that did not pass have in common."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from testbus.report.model import CauseReport, TestEnd
from testbus_consumers.wording import runs, text
from testbus_schemas import Outcome, RegressionKind
from testbus_schemas.fingerprints import root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from testbus.report.gather import GatheredAttempt, Heard
    from testbus.report.model import Change, Issue
    from testbus_schemas import Failure


def tests_of(producers: Mapping[str, Heard], *, is_open: bool) -> tuple[TestEnd, ...]:
    """Return how each test of each producer ended, by variant and name, as the gates count them.

    A test that was collected and gave no result counts too, unless its producer may still report it.
    """
    found: list[tuple[tuple[str, str, str], TestEnd]] = []
    for name, heard in producers.items():
        variant = heard.context[1].variant
        ends = [_end(node_id, variant, attempts) for node_id, attempts in heard.attempts.items()]
        if heard.finished is not None or not is_open:
            ends += [
                TestEnd(node_id=node_id, variant=variant, outcome=_silence(heard))
                for node_id in heard.collected - heard.attempts.keys()
            ]
        found += [((end.variant, end.node_id, name), end) for end in ends]
    return tuple(end for _, end in sorted(found, key=lambda entry: entry[0]))


def pending(producers: Mapping[str, Heard]) -> int:
    """Return how many tests were collected by producers that have not ended, and not reported."""
    return sum(len(heard.collected - heard.attempts.keys()) for heard in producers.values() if heard.finished is None)


def causes_of(tests: Iterable[TestEnd], issues: Sequence[Issue], changes: Iterable[Change]) -> tuple[CauseReport, ...]:
    """Return the tests that did not pass by what they failed for, the most frequent cause first."""
    by_cause: dict[str, list[TestEnd]] = defaultdict(list)
    for test in tests:
        if test.outcome.bad:
            by_cause[test.cause or test.outcome.value].append(test)
    new = {change.fingerprint for change in changes if change.worse and change.kind == RegressionKind.TEST_FAILED}
    causes = [_cause(identity, together, issues, new=identity in new) for identity, together in by_cause.items()]
    return tuple(sorted(causes, key=lambda cause: (not cause.fingerprint, -len(cause.tests), cause.fingerprint)))


def _end(node_id: str, variant: str, attempts: Mapping[int, GatheredAttempt]) -> TestEnd:
    *earlier, number = sorted(attempts)
    last = attempts[number]
    failed = [attempts[one] for one in earlier if attempts[one].outcome.bad]
    return TestEnd(
        node_id=node_id,
        variant=variant,
        outcome=last.outcome,
        attempt=number,
        duration_s=last.duration_s,
        cause=last.cause,
        failures=last.failures,
        output=last.output,
        file=last.file,
        line=last.line,
        before=_message(failed[-1]) if failed else None,
    )


def _message(attempt: GatheredAttempt) -> str:
    if not attempt.failures:
        return runs.silence(attempt.outcome.value)
    return text.failure_text(*root(attempt.failures[0])) or attempt.outcome.value


def _silence(heard: Heard) -> Outcome:
    left_out = heard.finished is not None and heard.finished.left_out_on_purpose
    return Outcome.NOT_RUN if left_out else Outcome.NOT_REPORTED


def _cause(identity: str, tests: list[TestEnd], issues: Sequence[Issue], *, new: bool) -> CauseReport:
    first = tests[0]
    if not first.failures:
        meaning = runs.silence(first.outcome.value)
        return CauseReport(
            fingerprint="", type="", message=meaning, raised_at="", tests=tuple(tests), new=new, issues=()
        )
    failure = first.failures[0]
    raised = root(failure)
    return CauseReport(
        fingerprint=identity,
        type=raised.type,
        message=text.first_line(raised.message),
        raised_at=_raised_at(failure),
        tests=tuple(tests),
        new=new,
        issues=tuple(issue for issue in issues if issue.fingerprint == identity),
    )


def _raised_at(failure: Failure) -> str:
    """Return where an exception was raised: in the project if any frame is, else in whatever the project called."""
    inside = [frame for frame in failure.frames if not (frame.path.startswith(("/", "<")) or ":" in frame.path)]
    frames = inside or failure.frames
    if not frames:
        return ""
    path = text.without_machine(frames[-1].path)
    return f"{path}:{frames[-1].line}" if frames[-1].line else path
