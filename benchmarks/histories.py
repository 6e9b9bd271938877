"""Are the alarms right? The consumer `regressions` on simulated CI histories whose truth is known.

usage: python -m benchmarks.histories --simulator simulate.py [--seed 1] [--set n_tests=500] [--json]
       python -m benchmarks.histories --histories DIR [--json]

The simulator is a script that writes `history.jsonl.gz` and `labels.json.gz` for a seed (`--seed N --out DIR`); without
the option the variable TESTBUS_SIMULATOR names it. Each run of the history goes through the consumer as the events of
its shards and the decision about it, in their order, on a SQLite file; what the consumer tells is held against the
labels. False alarms are per 1,000 runs.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.recording import Recorded
from testbus_consumers.regressions import CONSUMER
from testbus_schemas import (
    CoverageRecorded,
    Event,
    EventData,
    Failure,
    FileCoverage,
    Origin,
    RegressionDetected,
    Result,
    ResultsRecorded,
    RunCompleted,
    RunContext,
    RunInterrupted,
    derived,
    produced,
)
from testbus_schemas.wire import MAX_RESULTS_PER_EVENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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


#: Names the simulator.
SIMULATOR_VARIABLE = "TESTBUS_SIMULATOR"

#: What each letter of the history stands for.
OUTCOMES = {"P": "passed", "F": "failed", "E": "error", "S": "skipped"}


@dataclass(frozen=True, kw_only=True)
class SimulatedRun:
    """One run of a history."""

    #: Its place in the history.
    index: int
    #: What each shard that reported wrote.
    shards: list[dict[str, Any]]
    #: Coverage of the run.
    coverage: dict[str, Any]

    def events(self) -> Iterator[Event[EventData]]:
        """Yield what its producers recorded, then the decision."""
        expected = {}
        for position, shard in enumerate(self.shards):
            producer = f"{shard['run']}-{shard['shard']}"
            datas = list(self._results(shard))
            if not position:
                datas.append({"files": self._files()})
            for sequence, data in enumerate(datas, 1):
                model = ResultsRecorded if "results" in data else CoverageRecorded
                origin = Origin(id=producer, sequence=sequence)
                yield produced(model(context=self._context(shard), producer=origin, **data))
            recorded = sum("results" in data for data in datas)
            expected[producer] = {"results.recorded": recorded} | ({} if position else {"coverage.recorded": 1})
        yield self._decision(expected)

    def _decision(self, expected: dict[str, dict[str, int]]) -> Event[EventData]:
        context = self._context(self.shards[0])
        fields = {"context": context, "revision": 1, "expected": expected, "finished_at": context.started_at}
        whole = self.coverage["shards_reported"] == self.coverage["shards_expected"]
        data = RunCompleted(**fields) if whole else RunInterrupted(**fields, reasons=("a shard never reported",))
        return derived(data, consumer="runs", event_id=f"{context.run}-decided")

    def _context(self, shard: dict[str, Any]) -> RunContext:
        return RunContext(
            project="simulated",
            run=shard["run"],
            commit=shard["commit"],
            base=shard["base"] if shard["pr"] else None,
            branch=shard["branch"],
            pull_request=str(shard["pr"]) if shard["pr"] else None,
            started_at=shard["started_at"],
            shard={"index": shard["shard"] + 1, "total": self.coverage["shards_expected"]},
        )

    def _results(self, shard: dict[str, Any]) -> Iterator[dict[str, Any]]:
        attempts = (
            _result(test[0], letter, number, test[3] if len(test) > 3 else "")  # noqa: PLR2004 the signature
            for test in shard["tests"]
            for number, letter in enumerate(test[1], 1)
        )
        while chunk := tuple(itertools.islice(attempts, MAX_RESULTS_PER_EVENT)):
            yield {"results": chunk}

    def _files(self) -> tuple[FileCoverage, ...]:
        return tuple(
            FileCoverage(path=f"{component}/all.py", statements=f"1-{could}", executed=f"1-{ran}" if ran else "")
            for component, (ran, could, _) in self.coverage["coverage"].items()
        )


def main() -> int:
    """Run the benchmark; print a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="a parameter of the simulator, name=value")
    parser.add_argument("--simulator", type=Path, default=os.environ.get(SIMULATOR_VARIABLE))
    parser.add_argument("--python", default=sys.executable, help="interpreter of the simulator (it needs numpy)")
    parser.add_argument("--histories", type=Path, default=None, help="folder of a history that was made before")
    parser.add_argument("--settings", type=json.loads, default={}, help="settings of the consumer, as JSON")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.histories is None and options.simulator is None:
        parser.error(f"name the simulator (--simulator, {SIMULATOR_VARIABLE}) or a folder with a history (--histories)")
    with tempfile.TemporaryDirectory(prefix="testbus-bench-") as work:
        folder = options.histories or simulate(options, Path(work))
        labels = json.loads(gzip.decompress((folder / "labels.json.gz").read_bytes()))
        runs = list(read(folder / "history.jsonl.gz"))
        begun = time.perf_counter()
        told = watch(runs, Path(work), options.settings)
        took = time.perf_counter() - begun
    figures = score(told, runs, labels) | {"seconds_per_run": round(took / len(runs), 3)}
    for name, value in figures.items():
        print(f"{name:20}{value}")
    if options.json:
        print(json.dumps(figures))
    return 0


def simulate(options: argparse.Namespace, work: Path) -> Path:
    """Make a history, and return its folder."""
    more = [part for value in options.set for part in ("--set", value)]
    command = [options.python, str(options.simulator), "--seed", str(options.seed), "--out", str(work / "made"), *more]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return work / "made"


def read(path: Path) -> Iterator[SimulatedRun]:
    """Yield the runs of a history."""
    shards: dict[int, list[dict[str, Any]]] = defaultdict(list)
    with gzip.open(path, "rt") as lines:
        for line in map(json.loads, lines):
            if "coverage" in line:
                if found := shards.pop(line["seq"], []):
                    yield SimulatedRun(index=line["seq"], shards=found, coverage=line)
            else:
                shards[line["seq"]].append(line)


def watch(runs: list[SimulatedRun], folder: Path, settings: dict[str, Any]) -> list[Told]:
    """Return what the consumer tells of a history, and in which run."""
    components = {name: {"paths": [f"{name}/**"]} for name in runs[0].coverage["coverage"]}
    told: list[Told] = []
    with Recorded(CONSUMER, folder, {"components": components} | settings) as harness:
        already = 0
        for run in runs:
            harness.deliver(*run.events())
            emitted = harness.emitted[already:]
            already += len(emitted)
            told += [
                Told(index=run.index, data=event.data)
                for event in emitted
                if isinstance(event.data, RegressionDetected)
            ]
    return told


def _result(name: str, letter: str, attempt: int, signature: str) -> Result:
    failures = (Failure(type=signature, message="simulated"),) if letter in "FE" else ()
    return Result(node_id=name, attempt=attempt, outcome=OUTCOMES[letter], failures=failures)


if __name__ == "__main__":
    raise SystemExit(main())
