"""Whether a test is broken: pure functions of how it ended in the runs of its branch, in their order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from testbus_consumers.regressions.history import Case, Ended, Endings, Run

#: Times that a test failed and passed again by itself, from which on it is taken for as unsteady as a flaky one.
_UNSTEADY_AFTER: Final = 2

#: Complete runs without any word of a failing test after which it counts as removed.
_REMOVED_AFTER: Final = 3


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A test that fails now."""

    #: The run in which it began to.
    since: Run
    #: The complete run before that one; None when it fails for as long as is known.
    baseline: Run | None
    #: How it failed first.
    ended: Ended


def broken_on_base(
    line: Sequence[Run], endings: Endings, cases: Collection[Case], flaky: Collection[Case], chance: float
) -> dict[Case, Broken]:
    """Return which tests fail at the end of a base branch's complete runs.

    A test known to be flaky, or one that came and went before, does only when so many failures in a row, at the rate of
    failing runs before them, would be chance in fewer than `chance` cases.
    """
    found = {}
    for case in cases:
        heard = list(_heard(line, endings, case))
        streak = _streak(heard)
        earlier = heard[: len(heard) - len(streak)]
        unsteady = case in flaky or _recoveries(earlier) >= _UNSTEADY_AFTER
        if not streak or (unsteady and _by_chance(earlier, streak) >= chance):
            continue
        since, ended = streak[0]
        before = [run for run in line if run.order < since.order and case.variant in run.variants]
        found[case] = Broken(since=since, baseline=before[-1] if before else None, ended=ended)
    return found


def broken_on_branch(
    head: Run, baseline: Run, known: Sequence[Run], endings: Endings, cases: Collection[Case]
) -> dict[Case, Broken]:
    """Return which tests fail in a branch's latest complete run, and in none of the base's runs that are `known`."""
    found = {}
    for case in cases:
        ended = endings.get(head.id, {}).get(case)
        if ended is None or not ended.bad or case.variant not in baseline.variants:
            continue
        before = (endings.get(run.id, {}).get(case) for run in known)
        if not any(one is not None and one.bad for one in before):
            found[case] = Broken(since=head, baseline=baseline, ended=ended)
    return found


def _heard(line: Sequence[Run], endings: Endings, case: Case) -> Iterator[tuple[Run, Ended]]:
    """Yield the runs that said something about a test; nothing for a test that is there no more."""
    runs = [run for run in line if case.variant in run.variants]
    if not any(case in endings.get(run.id, {}) for run in runs[-_REMOVED_AFTER:]):
        return
    for run in runs:
        ended = endings.get(run.id, {}).get(case)
        if ended is not None and ended.bad is not None:
            yield run, ended


def _streak(heard: Sequence[tuple[Run, Ended]]) -> Sequence[tuple[Run, Ended]]:
    """Return the failures in a row at the end."""
    good = [index for index, (_, ended) in enumerate(heard) if not ended.bad]
    return heard[good[-1] + 1 :] if good else heard


def _recoveries(heard: Sequence[tuple[Run, Ended]]) -> int:
    """Return how often a test passed after it had failed."""
    return sum(1 for (_, before), (_, ended) in pairwise(heard) if before.bad and not ended.bad)


def _by_chance(before: Sequence[tuple[Run, Ended]], streak: Sequence[tuple[Run, Ended]]) -> float:
    """Return how likely as many failures in a row are at the rate of failing runs before, by Laplace's rule."""
    failed = sum(1 for _, ended in before if ended.bad)
    return float(((failed + 1) / (len(before) + 2)) ** len(streak))
