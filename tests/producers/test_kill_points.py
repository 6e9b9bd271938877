"""Killed at random points: what was recorded before arrives once; and the harness that says so finds what is broken."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from benchmarks.kill_points import Harness
from benchmarks.kill_points_places import Found, compare, places
from testbus_producers.spool.journal import Journal

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from pathlib import Path

    from testbus_producers.spool.event_builder import Cut


#: Seeds that are tried until a fault is found: where a process is killed depends on the machine's load, too.
TRIES = range(1, 9)


def killed(work: Path, kills: int, seed: int, sessions: int = 0) -> Found:
    """Return what arrived of runners that were killed."""
    with places(work, broker=False) as destinations:
        harness = Harness(places=destinations, rng=random.Random(seed))
        harness.run(kills)
        harness.run_sessions(work, sessions)
        harness.flush()
        assert harness.kills == kills + sessions
        assert [path for place in destinations for path in place.spool.glob("[!.]*")] == []
        return compare((message for place in destinations for message in place.messages()), harness.recorded)


def test_a_runner_killed_at_random_points_loses_nothing(tmp_path: Path) -> None:
    """Sixty runners and two sessions, some in the middle of a write, and flushes killed as well: each event once."""
    found = killed(tmp_path, 60, seed=1, sessions=2)
    assert (found.lost, found.duplicates) == ([], [])
    assert found.events > 100


def test_the_harness_finds_a_spool_that_forgets_too_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that takes for confirmed what it has only cut loses results, and that is seen."""
    write = Journal.cut

    def forgetful(journal: Journal, cut: Cut) -> None:
        write(journal, cut)
        if cut.sequence % 5 == 4:
            journal.confirm([cut])

    monkeypatch.setattr(Journal, "cut", forgetful)
    assert any(killed(tmp_path / str(seed), 30, seed).lost for seed in TRIES)


def test_the_harness_finds_events_that_are_cut_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that does not write down what it confirmed and cut makes other events of the same records."""
    write = Journal._write

    def careless(journal: Journal, record: list[object]) -> None:
        if record[0] == "author":
            write(journal, record)

    monkeypatch.setattr(Journal, "_write", careless)
    assert any(killed(tmp_path / str(seed), 30, seed).duplicates for seed in TRIES)
