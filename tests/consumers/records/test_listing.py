"""Which runs there are, how they were judged, and which one each is compared with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from testbus_consumers import overview
from testbus_consumers.errors import StateError
from testbus_consumers.gates import CONSUMER as GATES
from testbus_consumers.records.listing import Base
from testbus_consumers.records.reading import Records
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.store.reader import StateReader
from testbus_consumers.testing import ConsumerHarness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)


class Past:
    """A state in which runs happen, each an hour after the one before."""

    def __init__(self, folder: Path) -> None:
        """Begin with no run."""
        self.url = f"sqlite:///{folder}"
        self.runs, self.gates = ConsumerHarness(RUNS, folder), ConsumerHarness(GATES, folder)
        self.records = Records(StateReader(self.url))
        self._count = 0

    def happen(
        self, run: str, *, outcome: str = "passed", judged: bool = True, done: bool = True, **fields: Any
    ) -> None:
        """Let a run of one test happen; it is not `done` without its producer's end."""
        self._count += 1
        started_at = START + timedelta(hours=self._count)
        producer = FakeProducer(run, **{"run": run, "started_at": started_at, "branch": "main"} | fields)
        events = producer.whole(test_a=outcome)
        known, said = len(self.runs.emitted), len(self.gates.emitted)
        self.runs.deliver(*(events if done else events[:-1]))
        if judged:
            self.gates.deliver(*self.runs.emitted[known:])
            self.runs.deliver(*self.gates.emitted[said:])

    def found(self, project: str | None = "web", **wanted: Any) -> list[str]:
        """Return the ids of the runs that are found."""
        return [one.run for one in self.records.find(project, **wanted)]

    def close(self) -> None:
        """Close everything."""
        self.runs.close()
        self.gates.close()
        self.records.close()


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    """Give an empty past."""
    found = Past(tmp_path)
    yield found
    found.close()


def test_runs_are_listed_newest_first_with_the_verdict_that_holds(past: Past) -> None:
    """An open run has none, and neither has one that the gates have not judged yet; what it counts is known before."""
    past.happen("r1")
    past.happen("r2", outcome="failed")
    past.happen("r3", judged=False)
    past.happen("r4", done=False, project="other")
    found = [(one.run, one.status, one.verdict, one.counts) for one in past.records.find()]
    assert found == [
        ("r4", "open", None, {}),
        ("r3", "completed", None, {"passed": 1}),
        ("r2", "completed", "failed", {"failed": 1}),
        ("r1", "completed", "passed", {"passed": 1}),
    ]
    assert past.found(limit=2) == ["r3", "r2"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"suite": "e2e"}, ["r3"]),
        ({"stage": "smoke"}, ["r2"]),
        ({"branch": "main"}, ["r5", "r4", "r3", "r1"]),
        ({"branch": "fix", "suite": "e2e"}, []),
        ({"commit": "c2"}, ["r2"]),
        ({"pull_request": "7"}, ["r5"]),
        ({"is_base": True}, ["r4", "r3", "r1"]),
        ({"is_base": False}, ["r5", "r2"]),
        ({"complete": True}, ["r4", "r3", "r2", "r1"]),
        ({"complete": False}, ["r5"]),
        ({"verdict": "failed"}, ["r3", "r2"]),
        ({"verdict": "failed", "branch": "main"}, ["r3"]),
        ({"verdict": "passed"}, ["r1"]),
        ({"before": START + timedelta(hours=3)}, ["r2", "r1"]),
    ],
)
def test_runs_are_found_by_what_is_known_of_them(past: Past, wanted: dict[str, Any], expected: list[str]) -> None:
    """Every filter has to fit."""
    past.happen("r1")
    past.happen("r2", outcome="failed", branch="fix", commit="c2", stage="smoke")
    past.happen("r3", outcome="failed", suite="e2e")
    past.happen("r4", judged=False)
    past.happen("r5", done=False, pull_request="7")
    assert past.found(**wanted) == expected
    assert past.found(project="other", **wanted) == []


def test_a_run_that_goes_on_is_not_found_by_the_verdict_that_it_had(past: Past) -> None:
    """Something came later than its deadline: until it is decided again, there is none."""
    past.happen("r1", shard={"index": 1, "total": 2})
    past.runs.run_timers(901)
    past.gates.deliver(*past.runs.emitted)
    past.runs.deliver(*past.gates.emitted)
    assert past.found(verdict="incomplete") == ["r1"]
    late = FakeProducer("late", run="r1", started_at=START, shard={"index": 2, "total": 2})
    past.runs.deliver(late.started())
    assert past.found(verdict="incomplete") == []
    (run,) = past.records.find()
    assert (run.status, run.verdict, run.counts) == ("open", None, {})


def test_which_branches_are_the_base_is_configured(tmp_path: Path) -> None:
    """By globs, for the runs that are heard of from then on."""
    with ConsumerHarness(RUNS, tmp_path, {"base_branches": ["release/*"]}) as runs:
        for branch in ("release/1", "main"):
            runs.deliver(FakeProducer(branch, run=branch, branch=branch).started())
        assert runs.policy.records is not None
        assert [one.run for one in runs.policy.records.find("web", is_base=True)] == ["release/1"]


def test_a_run_is_named_by_the_beginning_of_its_id(past: Past) -> None:
    """A whole id means that run only; letters count as they are, and so do the wildcards of SQL."""
    for run in ("web-1", "web-10", "WEB-2", "we%"):
        past.happen(run)
    assert [one.run for one in past.records.named("web-1")] == ["web-1"]
    assert [one.run for one in past.records.named("web-")] == ["web-10", "web-1"]
    assert [one.run for one in past.records.named("we%")] == ["we%"]
    assert past.records.named("_eb") == ()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"branch": "topic", "base": "main"}, Base(match="branch", run="main-2", revision=1, wanted="main")),
        ({"branch": "topic", "base": "c1"}, Base(match="exact", run="main-1", revision=1, wanted="c1")),
        ({"branch": "topic", "base": "c3"}, Base(match="none", wanted="c3", open=True)),
        ({"branch": "main"}, Base(match="branch", run="main-2", revision=1, wanted="main")),
        ({"branch": "topic"}, Base(match="none", wanted="topic")),
        (
            {"branch": "topic", "base": "main", "suite": "e2e"},
            Base(match="branch", run="e2e", revision=1, wanted="main"),
        ),
        ({"branch": None}, Base(match="branch", run="nowhere", revision=1)),
        ({"branch": "main", "project": "other"}, Base(match="none", wanted="main")),
        (
            {"branch": "topic", "base": "main", "variant": "3.12"},
            Base(match="branch", run="of 3.12", revision=1, wanted="main"),
        ),
    ],
)
def test_a_run_is_compared_with_the_last_complete_one_on_its_base(
    past: Past, fields: dict[str, Any], expected: Base
) -> None:
    """Of the same project, suite and variant: of its base commit, else before it on its base branch, else its own."""
    past.happen("of 3.12", variant="3.12")
    past.happen("main-1", commit="c1")
    past.happen("main-2", commit="c2")
    past.happen("e2e", suite="e2e")
    past.happen("nowhere", branch=None)
    past.happen("unfinished", done=False, judged=False, commit="c3")
    past.happen("this", **fields)
    past.happen("later")
    (this,) = past.records.named("this")
    assert past.records.base_of(this) == expected
    record = past.records.open(this.context, this.revision)
    assert past.records.base_of(record) == expected


def test_a_run_that_nobody_knows_is_compared_with_none(past: Past) -> None:
    """It may have been deleted since it was found."""
    past.happen("this")
    (this,) = past.records.named("this")
    gone = replace(this, context=this.context.model_copy(update={"run": "gone"}))
    assert past.records.get("web", "gone") is None
    assert past.records.base_of(gone) == Base(match="none")


def test_a_run_that_is_under_way_shows_how_far_each_producer_is(past: Past) -> None:
    """What was collected and has no result yet is counted as not reported."""
    first, second = (FakeProducer(f"p{n}", run="this", shard={"index": n, "total": 2}) for n in (1, 2))
    past.runs.deliver(*first.whole(test_a="passed", test_b="failed"))
    past.runs.deliver(second.started(), second.collected("test_c", "test_d"), second.results(test_c="passed"))
    found = past.records.live("web", "this")
    assert [(one.id, one.shard, one.arrived, one.declared, one.counts) for one in found] == [
        ("p1", 1, 4, 4, {"failed": 1, "passed": 1}),
        ("p2", 2, 3, None, {"not_reported": 1, "passed": 1}),
    ]
    assert {one.heard_at for one in found} == {past.runs.now}
    assert past.records.live("other", "this") == ()


def test_a_state_that_is_not_there_is_told(tmp_path: Path) -> None:
    """No state is not taken for no runs."""
    with overview.records(f"sqlite:///{tmp_path}") as records, pytest.raises(StateError, match="runs has no state"):
        records.find()
