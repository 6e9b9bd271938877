"""Nothing is lost and nothing doubled under faults; and the harness that says so finds what is broken on purpose."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from benchmarks.chaos.harness import Calm, Wanted, calm, weather
from tests.processes import ServiceMissingError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

#: The load of all tests here, and its faults; `make chaos` has many more of both.
WANTED: Final = Wanted(results=800, faults=12, seed=1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """Give the final state of the load when nothing disturbs it."""
    try:
        return calm(WANTED, tmp_path_factory.mktemp("chaos"))
    except ServiceMissingError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"service missing: {error}", pytrace=False)
        pytest.skip(f"service missing: {error}")


def test_nothing_is_lost_and_nothing_doubled(undisturbed: Calm, tmp_path: Path) -> None:
    """Workers, broker, database and Redis killed, connections cut, targets that lie: the same state as without."""
    outcome = weather(WANTED, tmp_path, undisturbed)
    assert "\n".join(map(str, outcome.differences)) == ""
    assert (outcome.dead_letters, outcome.unfinished) == ({}, [])
    assert (outcome.lost, outcome.duplicates, outcome.ended) == (0, 0, [])
    assert outcome.results >= WANTED.results


def test_the_harness_finds_an_early_acknowledgement(undisturbed: Calm, tmp_path: Path) -> None:
    """Workers that acknowledge before the work is done lose what they are killed in the middle of."""
    broken = replace(WANTED, faults=8, app="tests.chaos.early", sorts=("worker",), deadline_s=15, patience_s=120)
    outcome = weather(broken, tmp_path, undisturbed)
    assert outcome.lost > 0


def test_the_harness_finds_a_missing_ledger(undisturbed: Calm, tmp_path: Path) -> None:
    """Workers that keep no ledger do twice what is delivered twice."""
    broken = replace(WANTED, faults=4, app="tests.chaos.forgetful", sorts=("worker",), deadline_s=15, patience_s=120)
    outcome = weather(broken, tmp_path, undisturbed)
    assert outcome.duplicates > 0
