"""The history is bounded, and what follows from it does not depend on the order in which runs arrive."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from structlog.testing import capture_logs

from testbus_consumers.regressions.tables import ALERT, ATTEMPT, ENDS, EVIDENCE, METADATA, NAMES, RUN
from tests.consumers.regressions.conftest import Watched
from tests.consumers.regressions.runs_of import CiRun, main, pull

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from sqlalchemy import Table

    Watch = Callable[..., Watched]


def count(watched: Watched, table: Table) -> int:
    """Return how many rows a table has."""
    with watched.harness.policy.store.begin() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def open_now(watched: Watched) -> set[tuple[str, str, str, str]]:
    """Return which tests and components are told to be worse and not to be over."""
    with watched.harness.policy.store.begin() as connection:
        rows = connection.execute(select(ALERT).where(ALERT.c.is_open.is_(True))).all()
    return {
        (row.kind, row.branch, variant, node_id)
        for row in rows
        for variant, node_id in row.tests or [("", row.event_data["subject"])]
    }


def test_state_grows_with_tests_and_not_with_runs(watch: Watch) -> None:
    """Of each base branch, and of all others together, the last runs are kept; which tests there are, once."""
    watched = watch(history=4)
    for number in range(0, 40, 2):
        tests = {"a": "F" if number % 8 == 0 else "P", "b": "FP" if number == 4 else "P"}
        watched.deliver(main(number, 80 - number % 3, **tests), pull(number + 1, a="P", b="F" if number % 4 else "P"))
    assert count(watched, RUN) == 8
    assert count(watched, ENDS) == 8
    assert count(watched, NAMES) == 1
    assert 1 <= count(watched, ATTEMPT) <= 8
    assert count(watched, EVIDENCE) == 0
    assert count(watched, ALERT) < 10


def test_a_run_that_is_older_than_the_history_changes_nothing(watch: Watch) -> None:
    """It would be forgotten at once."""
    watched = watch(history=3)
    watched.deliver(*(main(number, a="P") for number in range(10, 14)))
    assert watched.deliver(main(1, a="F")) == []
    assert count(watched, RUN) == 3


def test_the_migration_makes_the_tables_that_the_code_knows(watched: Watched) -> None:
    """Written by hand, they could differ."""
    for table in METADATA.tables.values():
        assert count(watched, table) == 0


#: Attempts of one test in one run.
attempts = st.sampled_from(("P", "P", "P", "F", "FP", "S"))

#: Fields of a context by the kind of run.
CONTEXTS = (
    {"branch": "main"},
    {"branch": "main"},
    {"branch": "main", "commit": "same"},
    {"branch": "fix", "pull_request": "7", "base": "c1"},
)


@st.composite
def histories(draw: st.DrawFn) -> list[CiRun]:
    """Make up a few runs of a base branch and a pull request, some incomplete, some of one commit."""
    return [
        CiRun(
            number=number,
            tests={name: draw(attempts) for name in ("a", "b", "c")},
            said={"a": "shared", "b": "shared"},
            covered={"src/x.py": draw(st.integers(70, 73))},
            missing=draw(st.sampled_from(("", "", "", "shard 2"))),
            context=draw(st.sampled_from(CONTEXTS)),
        )
        for number in range(draw(st.integers(2, 7)))
    ]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_what_is_open_in_the_end_follows_from_the_runs_alone(runs: list[CiRun], order: random.Random) -> None:
    """Whatever the order, and with duplicates: the same is open, nothing was closed that was not told, nor twice."""
    with tempfile.TemporaryDirectory() as folder:
        straight, shuffled = Watched(Path(folder, "a")), Watched(Path(folder, "b"))
        straight.deliver(*runs)
        shuffled.deliver(*order.sample(runs, len(runs)), *order.sample(runs, 2))
        results = [open_now(straight), open_now(shuffled)]
        for watched in (straight, shuffled):
            told = [(type(data).__name__, data.branch, data.cause, data.since) for data in watched.data]
            assert len(told) == len(set(told))
            closed = {one[1:] for one in told if one[0] == "RegressionRecovered"}
            assert closed <= {one[1:] for one in told if one[0] == "RegressionDetected"}
            watched.harness.close()
    assert results[0] == results[1]


def test_a_run_of_2035_silences_nobody(watch: Watch) -> None:
    """A runner whose clock is years ahead is placed where it was heard of: the next failure of its branch is told."""
    watched = watch()
    now = watched.harness.now

    def at(number: int, minutes: int, **tests: str) -> CiRun:
        return CiRun(number=number, tests=tests, context={"started_at": now + timedelta(minutes=minutes)})

    with capture_logs() as told:
        watched.deliver(at(0, -10, a="P"), at(1, 9 * 365 * 24 * 60, a="P"))
    assert [line["run"] for line in told if "clock" in line["event"]] == ["run-1"]
    watched.harness.run_timers(advance_s=120)
    assert watched.deliver(at(2, 1, a="F")) == ["+test_failed a main"]
    watched.harness.run_timers(advance_s=120)
    assert watched.deliver(at(3, 3, a="P")) == ["-test_failed a main"]
