"""Tests that are known to be flaky are marked where they fail."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from harness.looks import only, pairs
from harness.runs_of import START, failed, judged, passed, recorded
from testbus_consumers.testing import run_context
from testbus_schemas import Event, EventData, RegressionDetected, RegressionKind, RegressionRecovered, derived
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer

CONTEXT = run_context(started_at=START, suite="unit")

#: The attribute.
FLAKY = ("flaky", "known")


def told(name: str = "test_a", *, over: bool = False, minutes: int = 0, **fields: Any) -> Event[EventData]:
    """Return what `regressions` tells of a flaky test."""
    given: dict[str, Any] = {
        "context": run_context(started_at=START, suite="unit", run="run-0"),
        "kind": RegressionKind.TEST_FLAKY,
        "cause": f"flaky:{name}",
        "subject": name,
        "since": "run-0",
        "message": f"{name} failed and passed on one commit",
    }
    data = (RegressionRecovered if over else RegressionDetected)(**given | fields)
    return derived(data, consumer="regressions", event_id=new_id(), time=START + timedelta(minutes=minutes))


def marked(portal: ReportPortalServer) -> set[str]:
    """Return the names of what is marked, the launch's too."""
    launch = only(portal)
    return {one.name for one in (launch, *launch.items) if FLAKY in pairs(one.attributes)}


def test_a_known_flaky_test_is_marked_where_it_fails(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """On the item and on the launch, which keeps the mark when more is told of it; not where it passes."""
    worker.deliver(told(), told("test_b"))
    worker.deliver(recorded(CONTEXT, failed("test_a"), passed("test_b"), failed("test_c")), judged(CONTEXT, "failed"))
    assert marked(portal) == {"test_a", "web unit"}


def test_a_launch_without_such_a_failure_is_not_marked(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Nor is a test of the same name in another suite of the project, or for another regression."""
    worker.deliver(
        told(context=run_context(started_at=START, suite="e2e")),
        told("test_b", kind=RegressionKind.TEST_FAILED),
        recorded(CONTEXT, failed("test_a"), failed("test_b")),
    )
    assert marked(portal) == set()


def test_what_is_over_is_marked_no_more(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """In whatever order the two are told; a test that becomes flaky again is marked again."""
    worker.deliver(told(over=True, minutes=5), told(minutes=1))
    worker.deliver(recorded(CONTEXT, failed("test_a")))
    assert marked(portal) == set()
    worker.deliver(told(minutes=9), recorded(CONTEXT, failed("test_a", attempt=2), sequence=3))
    assert marked(portal) == {"test_a", "web unit"}
