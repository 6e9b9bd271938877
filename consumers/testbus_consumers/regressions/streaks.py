"""Whether a test is broken: pure functions of how it ended in the runs of its branch, in their order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from testbus_consumers.regressions.history import REMOVED_AFTER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from testbus_consumers.regressions.history import Case, Ended, Endings, Run


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A test that fails now."""

    #: The run in which it began to.
    since: Run
    #: The complete run before that one; None when it fails for as long as is known.
    baseline: Run | None
    #: How it failed first.
    ended: Ended
    #: Whether it passed in the baseline.
    was_green: bool = False


def broken_on_base(
    line: Sequence[Run], endings: Endings, cases: Collection[Case], flaky: Collection[Case], chance: float
) -> dict[Case, Broken]:
    """Return which tests fail at the end of a base branch's complete runs.

    A test known to be flaky does only when it fails for more runs in a row than it did before, and when so many, at the
    rate of failing runs before them, would be chance in fewer than `chance` cases.
    """
    found = {}
    for case in cases:
        heard = list(_heard(line, endings, case))
        streak = _streak(heard)
        earlier = heard[: len(heard) - len(streak)]
        if not streak or (case in flaky and _as_before(earlier, streak, chance)):
            continue
        since, ended = streak[0]
        before = [run for run in line if run.order < since.order and case.variant in run.variants]
        baseline = before[-1] if before else None
        green = baseline is not None and _was_green(endings, baseline, case)
        found[case] = Broken(since=since, baseline=baseline, ended=ended, was_green=green)
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
            green = _was_green(endings, baseline, case)
            found[case] = Broken(since=head, baseline=baseline, ended=ended, was_green=green)
    return found


def _was_green(endings: Endings, run: Run, case: Case) -> bool:
    """Tell whether a test passed in a run, and did not merely not fail."""
    ended = endings.get(run.id, {}).get(case)
    return ended is not None and ended.bad is False


def _heard(line: Sequence[Run], endings: Endings, case: Case) -> Iterator[tuple[Run, Ended]]:
    """Yield the runs that said something about a test; nothing for a test that is there no more."""
    runs = [run for run in line if case.variant in run.variants]
    if not any(case in endings.get(run.id, {}) for run in runs[-REMOVED_AFTER:]):
        return
    for run in runs:
        ended = endings.get(run.id, {}).get(case)
        if ended is not None and ended.bad is not None:
            yield run, ended


def _streak(heard: Sequence[tuple[Run, Ended]]) -> Sequence[tuple[Run, Ended]]:
    """Return the failures in a row at the end."""
    good = [index for index, (_, ended) in enumerate(heard) if not ended.bad]
    return heard[good[-1] + 1 :] if good else heard


def _as_before(before: Sequence[tuple[Run, Ended]], streak: Sequence[tuple[Run, Ended]], chance: float) -> bool:
    """Tell whether a flaky test's failures in a row are nothing out of the ordinary for it.

    They come in bursts, so their rate alone says too little; it is estimated by Laplace's rule.
    """
    bursts = [len(list(group)) for bad, group in groupby(ended.bad for _, ended in before) if bad]
    rate = (sum(bursts) + 1) / (len(before) + 2)
    return len(streak) <= max(bursts, default=0) or rate ** len(streak) >= chance
