"""Chapter 3: everything that follows is a consumer, and none of them waits for another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from tests.tour.results import failed, passed

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.tour.conftest import Pipeline

#: Seconds that anything may take here.
SOON_S = 60.0


def test_a_run_is_a_launch_of_every_reportportal(pipeline: Pipeline) -> None:
    """Each target has a queue, a state and retries of its own."""
    pipeline.consumers = {
        "reportportal": {"targets": {name: pipeline.reportportal(name) for name in ("eu", "us")}},
    }
    pipeline.publish(passed("cart adds"), failed("cart totals"))
    pipeline.drain()
    for portal in ("eu", "us"):
        assert pipeline.items(portal) == {"cart adds": "PASSED", "cart totals": "FAILED"}


def test_one_that_is_down_delays_nobody_and_catches_up(pipeline: Pipeline) -> None:
    """The other ReportPortal and the verdict are there while it is away; it has everything once it is back."""
    pipeline.consumers = {
        "reportportal": {"targets": {name: pipeline.reportportal(name) for name in ("eu", "us")}},
    }
    pipeline.sandbox.reportportal("us").faults.refuse()
    pipeline.publish(passed("cart adds"), failed("cart totals"))
    with pipeline.bus() as bus:
        wait_until(lambda: len(pipeline.items("eu")) == 2, SOON_S, "eu has the results")
        wait_until(lambda: pipeline.verdict()["verdict"] == "failed", SOON_S, "the verdict is there")
        assert pipeline.items("us") == {}
        pipeline.sandbox.reportportal("us").faults.clear()
        assert bus.drain(SOON_S)
    assert pipeline.items("us") == pipeline.items("eu")


def test_forty_failures_of_one_cause_are_one_issue_and_one_message(pipeline: Pipeline) -> None:
    """A root cause has a fingerprint; whoever tells people goes by it."""
    pipeline.consumers = {"jira": pipeline.jira(), "slack": pipeline.slack()}
    pipeline.publish(*(failed(f"cart totals {number}") for number in range(40)))
    pipeline.drain()
    (issue,) = pipeline.sandbox.jira.issues
    assert "no such price" in issue.summary
    assert len(pipeline.said()) == 1


def test_a_lead_reads_one_message_per_run(pipeline: Pipeline) -> None:
    """It says what happened and why, and is brought up to date in its place."""
    pipeline.consumers = {"slack": pipeline.slack()}
    pipeline.publish(passed("cart adds"), failed("cart totals"))
    pipeline.drain()
    (message,) = pipeline.said()
    assert "1 of 2 tests fails: `ValueError: no such price`" in message
    assert "shop" in message
