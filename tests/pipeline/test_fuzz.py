"""Messages that nobody would send, through real workers: the books balance. The long run is `make fuzz`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.fuzz_worker import fuzzed

if TYPE_CHECKING:
    from pathlib import Path


def test_every_odd_message_is_handled_or_dead_with_a_reason(
    own_amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """Nothing is lost, nothing is in both places, no process ends over a message."""
    found = fuzzed(tmp_path, own_amqp_url, database_url, 300, seed=7)
    assert (found.lost, found.crashes) == ([], [])
    assert found.adds_up
    assert found.counts()["handled"] > 10
    assert found.counts()["dead_lettered"] > 100
