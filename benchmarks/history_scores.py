"""What was told of a simulated history, held against its labels."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.histories import SimulatedRun
    from testbus_schemas import RegressionDetected

#: Branch that regressions are looked for on.
MAIN = "main"

#: A run after every other.
NEVER = 10**9


@dataclass(frozen=True, kw_only=True)
class Told:
    """One alarm."""

    #: The run after which it was told.
    index: int
    #: What was told.
    data: RegressionDetected


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One cause that is known to have been there."""

    #: From which run on.
    first: int
    #: Before which run it was over.
    over: int
    #: Its tests, or its component.
    subjects: frozenset[str]

    def explains(self, told: Told) -> bool:
        """Tell whether an alarm is this one's."""
        data = told.data
        return self.first <= told.index < self.over and bool(self.subjects & {*data.tests, data.subject})


def score(told: Sequence[Told], runs: Sequence[SimulatedRun], labels: dict[str, Any]) -> dict[str, Any]:
    """Return precision, recall, delay (in runs of main) and false alarms per 1,000 runs, for each question."""
    figures: dict[str, Any] = {"runs": len(runs)}
    figures["newly_broken"] = _broken(told, runs, labels)
    figures["flaky"] = _flaky(told, runs, labels)
    figures["coverage_dropped"] = _dropped(told, runs, labels)
    figures["by_pull_request"] = _pulled(told, runs, labels)
    return figures


def _broken(told: Sequence[Told], runs: Sequence[SimulatedRun], labels: dict[str, Any]) -> dict[str, Any]:
    """Compare what failed on main; what the environment broke for several runs is counted on its own."""
    alarms = [one for one in told if one.data.kind == "test_failed" and one.data.branch == MAIN]
    regressions = _seen(_truths(labels["regressions"], "first_run", "fixed_run"), runs)
    environment = _truths(labels["env_breaks"], "first_run", "fixed_run")
    outages = [
        Truth(first=min(one["runs"]), over=max(one["runs"]) + 1, subjects=frozenset(one["tests"]))
        for one in labels["outages"]
    ]
    flaky = {one["test"] for one in labels["flaky"]}
    false = [one for one in alarms if not _explained(one, regressions)]
    strange = [one for one in false if not _explained(one, environment)]
    others = [one for one in strange if not _explained(one, outages)]
    found = [truth for truth in regressions if any(truth.explains(one) for one in alarms)]
    return {
        "precision": _share(len(alarms) - len(false), len(alarms)),
        "precision_with_environment": _share(len(alarms) - len(strange), len(alarms)),
        "recall": _share(len(found), len(regressions)),
        "delay_runs": _delay(found, alarms, runs),
        "false_alarms": _per_thousand(len(strange), runs),
        "alarms": len(alarms),
        "of_environment": len(false) - len(strange),
        "of_outages": len(strange) - len(others),
        "of_flaky_tests": sum(1 for one in others if set(one.data.tests) & flaky),
    }


def _flaky(told: Sequence[Told], runs: Sequence[SimulatedRun], labels: dict[str, Any]) -> dict[str, Any]:
    truth = {one["test"] for one in labels["flaky"]}
    named = {one.data.subject for one in told if one.data.kind == "test_flaky"}
    failed = {test[0] for run in runs for shard in run.shards for test in shard["tests"] if {*test[1]} & {"F", "E"}}
    retried = {test[0] for run in runs for shard in run.shards for test in shard["tests"] if test[1] == "FP"}
    return {
        "precision": _share(len(named & truth), len(named)),
        "recall": _share(len(named & truth), len(truth & failed)),
        "recall_of_retried": _share(len(named & truth), len(truth & retried)),
        "false_alarms": _per_thousand(len(named - truth), runs),
        "alarms": len(named),
    }


def _dropped(told: Sequence[Told], runs: Sequence[SimulatedRun], labels: dict[str, Any]) -> dict[str, Any]:
    alarms = [one for one in told if one.data.kind == "coverage_dropped" and one.data.branch == MAIN]
    drops = [one | {"tests": [one["component"]]} for one in labels["coverage_drops"]]
    truths = _seen(_truths(drops, "run", "back_run"), runs)
    large = _seen(_truths([one for one in drops if one["drop"] >= 0.5], "run", "back_run"), runs)  # noqa: PLR2004 min_drop
    false = [one for one in alarms if not _explained(one, truths)]
    return {
        "precision": _share(len(alarms) - len(false), len(alarms)),
        "recall": _share(sum(any(one.explains(alarm) for alarm in alarms) for one in truths), len(truths)),
        "recall_of_half_a_point": _share(
            sum(any(one.explains(alarm) for alarm in alarms) for one in large), len(large)
        ),
        "false_alarms": _per_thousand(len(false), runs),
        "alarms": len(alarms),
    }


def _pulled(told: Sequence[Told], runs: Sequence[SimulatedRun], labels: dict[str, Any]) -> dict[str, Any]:
    alarms = [one for one in told if one.data.kind == "test_failed" and one.data.branch != MAIN]
    whole = {run.index for run in _complete(runs)}
    breaks = [
        Truth(first=min(one["runs"]), over=max(one["runs"]) + 1, subjects=frozenset(one["tests"]))
        for one in labels["pr_breaks"]
        if whole & set(one["runs"])
    ]
    false = [one for one in alarms if not _explained(one, breaks)]
    return {
        "precision": _share(len(alarms) - len(false), len(alarms)),
        "recall": _share(sum(any(one.explains(alarm) for alarm in alarms) for one in breaks), len(breaks)),
        "false_alarms": _per_thousand(len(false), runs),
        "alarms": len(alarms),
    }


def _truths(labels: Iterable[dict[str, Any]], first: str, over: str) -> list[Truth]:
    return [
        Truth(first=one[first], over=NEVER if one[over] is None else one[over], subjects=frozenset(one["tests"]))
        for one in labels
        if one[first] is not None
    ]


def _seen(truths: Iterable[Truth], runs: Sequence[SimulatedRun]) -> list[Truth]:
    """Return those that a complete run of main could show."""
    places = [run.index for run in _complete(runs) if run.shards[0]["branch"] == MAIN]
    return [truth for truth in truths if any(truth.first <= place < truth.over for place in places)]


def _complete(runs: Iterable[SimulatedRun]) -> list[SimulatedRun]:
    return [run for run in runs if run.coverage["shards_reported"] == run.coverage["shards_expected"]]


def _explained(told: Told, truths: Iterable[Truth]) -> bool:
    return any(truth.explains(told) for truth in truths)


def _delay(found: Iterable[Truth], alarms: Sequence[Told], runs: Sequence[SimulatedRun]) -> float:
    """Return how many runs of main lie between the first that could show a cause and its alarm, on average."""
    places = [run.index for run in runs if run.shards[0]["branch"] == MAIN]
    delays = [
        sum(truth.first <= place < min(one.index for one in alarms if truth.explains(one)) for place in places)
        for truth in found
    ]
    return round(statistics.fmean(delays), 2) if delays else 0.0


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def _per_thousand(count: int, runs: Sequence[SimulatedRun]) -> float:
    return round(1000 * count / len(runs), 1)
