"""Nothing is lost and nothing doubled under faults; and the harness that says so finds what is broken on purpose."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from benchmarks.chaos.harness import Baseline, Wanted, baseline, with_faults
from harness.processes import ServiceMissingError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

#: A load with the first faults of its seed, for every change; and what is tried each night. `make chaos` has many more
#: of both.
SHORT: Final = Wanted(results=300, faults=6, seed=1)
LONG: Final = Wanted(results=800, faults=12, seed=1)


def undisturbed(wanted: Wanted, folder: Path) -> Baseline:
    """Return the final state of a load when nothing disturbs it."""
    try:
        return baseline(wanted, folder)
    except ServiceMissingError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"service missing: {error}", pytrace=False)
        pytest.skip(f"service missing: {error}")


@pytest.fixture(scope="module")
def long_load(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    """Give the final state of the long load when nothing disturbs it."""
    return undisturbed(LONG, tmp_path_factory.mktemp("chaos"))


def check(wanted: Wanted, folder: Path, expected: Baseline) -> None:
    """Disturb a load, and compare what became of it."""
    outcome = with_faults(wanted, folder, expected)
    assert "\n".join(map(str, outcome.differences)) == ""
    assert (outcome.dead_letters, outcome.unfinished) == ({}, [])
    assert (outcome.lost, outcome.duplicates, outcome.ended) == (0, 0, [])
    assert outcome.results >= wanted.results


def test_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    """A worker, the database and the broker killed, targets that fail: the same state as without."""
    check(SHORT, tmp_path, undisturbed(SHORT, tmp_path))


@pytest.mark.nightly
def test_nothing_of_a_longer_load_is_lost_or_doubled(long_load: Baseline, tmp_path: Path) -> None:
    """Workers, broker, database and Redis killed, connections cut, targets that lie: the same state as without."""
    check(LONG, tmp_path, long_load)


@pytest.mark.nightly
def test_the_harness_finds_an_early_acknowledgement(long_load: Baseline, tmp_path: Path) -> None:
    """Workers that acknowledge before the work is done lose what they are killed in the middle of."""
    broken = replace(LONG, faults=8, app="tests.chaos.early", sorts=("worker",), deadline_s=15, patience_s=120)
    outcome = with_faults(broken, tmp_path, long_load)
    assert outcome.lost > 0


@pytest.mark.nightly
def test_the_harness_finds_a_missing_ledger(long_load: Baseline, tmp_path: Path) -> None:
    """Workers that keep no ledger do twice what is delivered twice."""
    broken = replace(LONG, faults=4, app="tests.chaos.forgetful", sorts=("worker",), deadline_s=15, patience_s=120)
    outcome = with_faults(broken, tmp_path, long_load)
    assert outcome.duplicates > 0
