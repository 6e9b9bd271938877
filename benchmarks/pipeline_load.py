"""Runs whose verdicts are known: results with failures of a few causes, in events of any size, and coverage."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from testbus_schemas import (
    CoverageRecorded,
    Event,
    EventData,
    Failure,
    FileCoverage,
    Origin,
    Outcome,
    ProducerFinished,
    ProducerStarted,
    ProducerStatus,
    Result,
    ResultsRecorded,
    RunContext,
    TestsCollected,
    produced,
)
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    import random

#: Of so many tests one fails.
_FAILING: Final = 0.06

#: Causes of one run's failures.
_CAUSES: Final = 5

#: Files that each run measures, and the lines of each.
_FILES: Final = 50
_LINES: Final = 200


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one producer, and what is to be decided of it."""

    #: Its id.
    id: str
    #: Everything that its producer sends.
    events: tuple[Event[EventData], ...]
    #: Tests by how they end.
    counts: dict[str, int]

    @property
    def results(self) -> int:
        """Return how many results there are."""
        return sum(self.counts.values())

    @property
    def verdict(self) -> str:
        """Return what the starter rules say."""
        return "failed" if self.counts.get("failed") else "passed"


@dataclass(frozen=True, kw_only=True)
class Load:
    """So many results, in runs."""

    #: Results in all.
    results: int
    #: Results of one event.
    per_event: int
    #: Results of one run.
    per_run: int
    #: Decides what fails.
    rng: random.Random

    def runs(self) -> list[Run]:
        """Return new runs with so many results together."""
        left = self.results
        found = []
        while left > 0:
            found.append(self.run(min(left, self.per_run)))
            left -= self.per_run
        return found

    def run(self, results: int) -> Run:
        """Return a new run of so many results."""
        now = datetime.now(UTC)
        run = new_id()
        commit = hashlib.sha1(run.encode(), usedforsecurity=False).hexdigest()
        context = RunContext(project="web", run=run, suite="unit", branch="main", commit=commit, started_at=now)
        tests = [self._result(number, now) for number in range(results)]
        data: list[EventData] = [ProducerStarted(context=context, tool="pytest", tool_version="9.0")]
        data.append(TestsCollected(context=context, node_ids=tuple(test.node_id for test in tests)))
        batches = (tuple(tests[at : at + self.per_event]) for at in range(0, results, self.per_event))
        data += (ResultsRecorded(context=context, results=batch) for batch in batches)
        data.append(CoverageRecorded(context=context, files=tuple(self._file(number) for number in range(_FILES))))
        data.append(
            ProducerFinished(context=context, events=len(data) + 1, status=ProducerStatus.FINISHED, reported=results)
        )
        numbered = (
            one.model_copy(update={"producer": Origin(id=run, sequence=number)}) for number, one in enumerate(data, 1)
        )
        counts = Counter(test.outcome.value for test in tests)
        return Run(id=run, events=tuple(produced(one) for one in numbered), counts=dict(sorted(counts.items())))

    def _result(self, number: int, now: datetime) -> Result:
        failed = self.rng.random() < _FAILING
        file = f"tests/shop/test_module_{number // 40}.py"
        node_id = f"{file}::TestThing{number // 10 % 4}::test_case_{number}[{number % 7}]"
        cause = self.rng.randrange(_CAUSES)
        failures = (
            Failure(
                type=f"shop.errors.Error{cause}",
                message=f"order {number} was refused for reason {'abcde'[cause]}",
                text="def test_case():\n>       assert shop.order(book)\nE       refused\n" * 12,
            ),
        )
        return Result(
            node_id=node_id,
            outcome=Outcome.FAILED if failed else Outcome.PASSED,
            started_at=now + timedelta(milliseconds=number),
            duration_s=0.0123,
            file=file,
            line=number % 40 * 9 + 3,
            failures=failures if failed else (),
        )

    def _file(self, number: int) -> FileCoverage:
        missed = self.rng.randrange(2, _LINES - 2)
        return FileCoverage(
            path=f"shop/part_{number // 10}/module_{number}.py",
            statements=f"1-{_LINES}",
            executed=f"1-{missed},{missed + 2}-{_LINES}",
        )
