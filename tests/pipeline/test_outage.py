"""The outage of one target: it costs a little each time it is tried again, and nobody else notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.outage import MODES, outage
from benchmarks.outage_load import opened
from testbus_consumers.runtime.breaker import THRESHOLD

if TYPE_CHECKING:
    from pathlib import Path

#: Events that are fetched ahead for each process of the worker, and how many processes it has.
FETCHED, CHILDREN = 4, 2

#: Deliveries that one probe may cost: the one that finds the target down still, and the one that was sent behind it.
PER_PROBE = 2


@pytest.mark.parametrize("mode", [MODES[0], *(pytest.param(mode, marks=pytest.mark.nightly) for mode in MODES[1:])])
def test_an_outage_costs_a_bounded_number_of_deliveries(
    own_amqp_url: str, database_url: str, tmp_path: Path, mode: str
) -> None:
    """Whatever waits: a few until the target is found down, two for each probe, and then all of it arrives."""
    with opened(tmp_path, own_amqp_url, database_url, results=200, per_event=2) as loaded:
        # The others finish while the target is down, or the outage would never be over.
        found = outage(loaded, mode, 2, [1.0, 1.0])
    seen = found.watched
    assert seen.backlog_events > 100
    assert seen.at_first <= THRESHOLD + FETCHED * CHILDREN + CHILDREN
    assert seen.deliveries <= PER_PROBE * (seen.probes + 1)
    assert found.recovered
