"""What others may ask of `runs` and `gates`: which runs there are, and how they were judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers import overview
from testbus_consumers.errors import StateError
from testbus_consumers.gates import CONSUMER as GATES
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.runs.listing import Wanted
from testbus_consumers.testing import ConsumerHarness
from tests.consumers.events import FakeProducer

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
        self._count = 0

    def happen(
        self, run: str, *, outcome: str = "passed", judged: bool = True, done: bool = True, **fields: Any
    ) -> None:
        """Let a run of one test happen; it is not `done` without its producer's end."""
        self._count += 1
        started_at = START + timedelta(hours=self._count)
        producer = FakeProducer(run, **{"run": run, "started_at": started_at, "branch": "main"} | fields)
        events = producer.whole(test_a=outcome)
        known = len(self.runs.emitted)
        self.runs.deliver(*(events if done else events[:-1]))
        if judged:
            self.gates.deliver(*events, *self.runs.emitted[known:])

    def close(self) -> None:
        """Close both consumers."""
        self.runs.close()
        self.gates.close()


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    """Give an empty past."""
    found = Past(tmp_path)
    yield found
    found.close()


def test_runs_are_listed_newest_first_with_the_verdict_that_holds(past: Past) -> None:
    """An open run has none, and neither has one that the gates have not judged yet."""
    past.happen("r1")
    past.happen("r2", outcome="failed")
    past.happen("r3", judged=False)
    past.happen("r4", done=False, project="other")
    found = [(one.run.run, one.run.status, one.judged and one.judged.verdict) for one in overview.recent(past.url)]
    assert found == [
        ("r4", "open", None),
        ("r3", "completed", None),
        ("r2", "completed", "failed"),
        ("r1", "completed", "passed"),
    ]
    assert [one.run.run for one in overview.recent(past.url, Wanted(project="web"), limit=2)] == ["r3", "r2"]
    (judged,) = [one.judged for one in overview.recent(past.url) if one.run.run == "r2"]
    assert judged is not None
    assert (judged.counts, judged.total) == ({"failed": 1}, 1)


@pytest.mark.parametrize(
    ("fields", "verdict", "expected"),
    [
        ({"suite": "e2e"}, None, ["r3"]),
        ({"branch": "main"}, None, ["r4", "r3", "r1"]),
        ({"branch": "fix", "suite": "e2e"}, None, []),
        ({}, "failed", ["r3", "r2"]),
        ({"branch": "main"}, "failed", ["r3"]),
        ({}, "passed", ["r1"]),
    ],
)
def test_runs_are_found_by_what_is_known_of_them(
    past: Past, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], verdict: str | None, expected: list[str]
) -> None:
    """Suite, branch and verdict, also among more runs than are looked through at a time."""
    monkeypatch.setattr(overview, "_PAGE", 1)
    past.happen("r1")
    past.happen("r2", outcome="failed", branch="fix")
    past.happen("r3", outcome="failed", suite="e2e")
    past.happen("r4", judged=False)
    found = overview.recent(past.url, Wanted(**fields), verdict=verdict)
    assert [one.run.run for one in found] == expected


def test_a_run_is_named_by_the_beginning_of_its_id(past: Past) -> None:
    """A whole id means that run only; letters count as they are, and so do the wildcards of SQL."""
    for run in ("web-1", "web-10", "WEB-2", "we%"):
        past.happen(run)
    assert [one.run for one in overview.named(past.url, "web-1")] == ["web-1"]
    assert [one.run for one in overview.named(past.url, "web-")] == ["web-10", "web-1"]
    assert [one.run for one in overview.named(past.url, "we%")] == ["we%"]
    assert overview.named(past.url, "_eb") == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"branch": "topic", "base": "main"}, "main-2"),
        ({"branch": "topic", "base": "c1"}, "main-1"),
        ({"branch": "main"}, "main-2"),
        ({"branch": "topic"}, None),
        ({"branch": "topic", "base": "main", "suite": "e2e"}, "e2e"),
        ({"branch": None}, "nowhere"),
        ({"branch": "main", "project": "other"}, None),
    ],
)
def test_a_run_is_compared_with_the_last_complete_one_on_its_base(
    past: Past, fields: dict[str, Any], expected: str | None
) -> None:
    """Of the same project and suite, before it, on its base branch or commit, else on its own branch."""
    past.happen("main-1", commit="c1")
    past.happen("main-2", commit="c2")
    past.happen("e2e", suite="e2e")
    past.happen("nowhere", branch=None)
    past.happen("unfinished", done=False, judged=False)
    past.happen("this", **fields)
    past.happen("later")
    (this,) = overview.named(past.url, "this")
    found = overview.earlier(past.url, this)
    assert (found.run if found else None) == expected


def test_a_state_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The message says what to do."""
    with pytest.raises(StateError, match="testbus db upgrade"):
        overview.recent(f"sqlite:///{tmp_path}")
