"""Whole runs for `regressions`: what a CI would have published, and what `runs` decided of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from testbus_consumers.testing import run_context
from testbus_schemas import (
    CoverageRecorded,
    Event,
    EventData,
    Failure,
    FileCoverage,
    Origin,
    Result,
    ResultsRecorded,
    RunCompleted,
    RunInterrupted,
    derived,
    produced,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: When run number 0 starts; each further one starts an hour later.
START = datetime(2026, 11, 1, 8, tzinfo=UTC)

#: What each letter of an attempt stands for.
OUTCOMES = {"P": "passed", "F": "failed", "E": "error", "S": "skipped", "X": "xfailed"}


@dataclass(kw_only=True)
class CiRun:
    """One run: tests as letters for their attempts (`FP`: failed, then passed), coverage as covered lines of 100."""

    #: Its number: its place among the others, and its id.
    number: int
    #: Test → attempts, in the way of `OUTCOMES`.
    tests: Mapping[str, str]
    #: Test → what its failure says; without it the test's own name.
    said: Mapping[str, str] = field(default_factory=dict)
    #: File → how many of its 100 lines ran.
    covered: Mapping[str, int] = field(default_factory=dict)
    #: What is missing; nothing makes the run complete.
    missing: str = ""
    #: Fields of the context.
    context: Mapping[str, Any] = field(default_factory=dict)
    #: The CI's attempt; lower ones are replaced.
    attempt: int = 1
    #: Shard.
    shard: Mapping[str, int] | None = None

    def events(self) -> list[Event[EventData]]:
        """Return the events of the run's only producer, in their order, and then the decision."""
        return [*self.recorded(), self.decided()]

    def recorded(self) -> list[Event[EventData]]:
        """Return what the producer recorded."""
        results = tuple(
            _result(name, letter, number, self.said.get(name, f"{name} is wrong"))
            for name, letters in self.tests.items()
            for number, letter in enumerate(letters, start=1)
        )
        events = [produced(ResultsRecorded(context=self._context, producer=self._origin(1), results=results))]
        if self.covered:
            files = tuple(
                FileCoverage(path=path, statements="1-100", executed=f"1-{lines}" if lines else "")
                for path, lines in self.covered.items()
            )
            events.append(produced(CoverageRecorded(context=self._context, producer=self._origin(2), files=files)))
        return events

    def decided(self, *, revision: int | None = None, superseded: tuple[str, ...] = ()) -> Event[EventData]:
        """Return the decision about the run."""
        expected = {"results.recorded": 1} | ({"coverage.recorded": 1} if self.covered else {})
        number = revision or self.attempt
        data = {
            "context": self._context,
            "revision": number,
            "expected": {self.producer: expected},
            "superseded": superseded,
            "finished_at": self._context.started_at,
        }
        event_id = f"{self.producer}-decided-{number}"
        if self.missing:
            return derived(RunInterrupted(**data, reasons=(self.missing,)), consumer="runs", event_id=event_id)
        return derived(RunCompleted(**data), consumer="runs", event_id=event_id)

    @property
    def producer(self) -> str:
        """Return the id of the run's producer."""
        return f"p{self.number}-{self.attempt}"

    @property
    def _context(self) -> Any:
        fields = {
            "run": f"run-{self.number}",
            "branch": "main",
            "commit": f"c{self.number}",
            "started_at": START + timedelta(hours=self.number),
            "attempt": self.attempt,
            "shard": self.shard,
        }
        return run_context(**fields | dict(self.context))

    def _origin(self, sequence: int) -> Origin:
        return Origin(id=self.producer, sequence=sequence)


def _result(name: str, letter: str, attempt: int, said: str) -> Result:
    outcome = OUTCOMES[letter]
    failures = (Failure(type="ValueError", message=said),) if letter in "FE" else ()
    return Result(node_id=name, attempt=attempt, outcome=outcome, failures=failures)


def main(number: int, covered: int | None = None, **tests: str) -> CiRun:
    """Return a complete run of branch main."""
    return CiRun(number=number, tests=tests or {"a": "P"}, covered={} if covered is None else {"src/x.py": covered})


def pull(number: int, base: str | None = None, **tests: str) -> CiRun:
    """Return a complete run of pull request 7."""
    return CiRun(number=number, tests=tests, context={"branch": "fix", "pull_request": "7", "base": base})
