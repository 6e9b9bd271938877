"""Chapter 2: a run is passed when all of it is there, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tour.results import passed

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.tour.conftest import Pipeline


def test_a_run_of_two_shards_waits_for_the_second(pipeline: Pipeline) -> None:
    """Half of the tests being green says nothing of the rest."""
    pipeline.publish(passed("cart adds"), shard="1/2")
    pipeline.drain()
    assert pipeline.verdict()["verdict"] == "pending"
    pipeline.publish(passed("cart totals"), shard="2/2")
    pipeline.drain()
    assert pipeline.verdict()["verdict"] == "passed"


def test_what_never_comes_makes_it_incomplete(pipeline: Pipeline) -> None:
    """After the deadline the run is decided without it; incomplete is not passed, and says what is missing."""
    pipeline.consumers = {"runs": {"deadline_s": 0.2}}
    pipeline.publish(passed("cart adds"), shard="1/2")
    with pipeline.bus() as bus:
        assert bus.drain(60, until=lambda _: pipeline.verdict()["verdict"] != "pending")
    verdict = pipeline.verdict()
    assert verdict["verdict"] == "incomplete"
    assert "shard 2 of 2 never reported" in " ".join(verdict["reasons"])


def test_what_comes_late_corrects_the_verdict(pipeline: Pipeline) -> None:
    """Decisions are corrected by events, never silently."""
    test_what_never_comes_makes_it_incomplete(pipeline)
    before = pipeline.verdict()["revision"]
    pipeline.publish(passed("cart totals"), shard="2/2")
    pipeline.drain()
    verdict = pipeline.verdict()
    assert verdict["verdict"] == "passed"
    assert verdict["revision"] > before
