"""Whether a component's coverage fell: pure functions of what it was in the runs of its branch, in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbus_consumers.records.coverage import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_consumers.regressions.history import Run


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A fall of a component's coverage that has not been made good."""

    #: The run in which it fell.
    since: Run
    #: The run before that one.
    baseline: Run
    #: Percent covered, then.
    value: float
    #: Percent covered, before.
    baseline_value: float


def comparable(line: Sequence[Run]) -> list[Run]:
    """Return the runs of a branch that measured the same variants and shards as its latest one that measured."""
    measured = [run for run in line if run.measured is not None]
    return [run for run in measured if run.measured == measured[-1].measured]


def open_drops(line: Sequence[Run], component: str, min_drop: float) -> list[Drop]:
    """Return the falls by at least `min_drop` points from one run to the next that hold at the end, in their order.

    One is made good when half of the least drop is all that is missing to the value before it.
    """
    drops: list[Drop] = []
    before: tuple[Run, float] | None = None
    for run in comparable(line):
        if component not in run.covered:
            continue
        value = percent(run.covered[component])
        drops = [drop for drop in drops if value <= drop.baseline_value - min_drop / 2]
        if before is not None and fell(before[1], value, min_drop):
            drops.append(Drop(since=run, baseline=before[0], value=value, baseline_value=before[1]))
        before = run, value
    return drops


def fell(before: float, value: float, min_drop: float) -> bool:
    """Tell whether a percentage fell by at least so many points; a hair's breadth is arithmetic's."""
    return before - value >= min_drop - 1e-9
