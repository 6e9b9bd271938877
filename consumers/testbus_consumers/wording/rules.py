"""What a rule of the gates found, in one sentence: value, threshold, and what that was counted from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_consumers.wording import numbers, text

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Tests that a sentence names.
_NAMED: Final = 3

#: What is said where there is nothing to measure.
NO_TEST_RAN: Final = "no test ran"
NO_COVERAGE: Final = "no coverage was recorded: run pytest with --cov, or drop the rule"
NO_BRANCHES: Final = "branches were not measured: run pytest with --cov-branch, or drop the rule"


def judged(label: str, value: float | None, limit: tuple[str, float, str], detail: str) -> str:
    """Return `coverage 83.63 %, below 85 %: 46 of 55 covered`.

    `limit` is what the value is to it ("below"), the threshold, and the unit of both; `detail` is one of the sentences
    of this module.
    """
    relation, threshold, unit = limit
    measured = "nothing measured" if value is None else numbers.against(value, threshold, unit)
    return f"{label} {measured}, {relation} {numbers.limit(threshold, unit)}: {detail}"


def elsewhere(label: str, limits: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return that a rule is not for a run: the stage, project or branch that it is limited to, with the globs."""
    return f"{label}: only for " + ", ".join(f"{what} {' or '.join(globs)}" for what, globs in limits)


def passed(ran: int, bad: Sequence[str]) -> str:
    """Return how many of the tests that ran did not pass, and which (node ids)."""
    if bad:
        return f"{len(bad):,} of {_tests(ran)} did not pass: {_names(bad)}"
    return f"all {_tests(ran)} passed" if ran > 1 else "the only test passed"


def failing(ran: int, bad: Sequence[str]) -> str:
    """Return which of the tests that ran fail (node ids)."""
    return f"{_names(bad)} of {_tests(ran)}" if bad else f"none of {_tests(ran)}"


def running(ran: int, total: int) -> str:
    """Return how many tests ran, and how many did not."""
    return f"{ran:,} ran, {total - ran:,} did not"


def covered(ran: int, could: int) -> str:
    """Return how much of the code ran, in lines and branches."""
    return f"{ran:,} of {could:,} covered"


def unmatched(files: int, globs: Sequence[str]) -> str:
    """Return that none of the measured files is one of a rule's."""
    return f"none of {numbers.plural(files, 'measured file')} matches {' '.join(globs)}"


def not_of(files: int, component: str) -> str:
    """Return that none of the measured files belongs to a rule's component."""
    return f"none of {numbers.plural(files, 'measured file')} belongs to component {component}"


def _tests(count: int) -> str:
    return numbers.plural(count, "test")


def _names(tests: Sequence[str]) -> str:
    more = f" and {len(tests) - _NAMED:,} more" if len(tests) > _NAMED else ""
    return ", ".join(map(text.name, tests[:_NAMED])) + more
