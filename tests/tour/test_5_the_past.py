"""Chapter 5: the stream keeps every event, so that what comes later can know what was before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_consumers import registry
from testbus_consumers.embedded.bus import open_state
from testbus_consumers.replay import Plan, Selection, fill
from testbus_consumers.replay.stream_source import LogSource
from testbus_consumers.runtime.replay_mark import Replay
from tests.tour.results import failed, passed

if TYPE_CHECKING:
    from tests.tour.conftest import Pipeline


def replay(pipeline: Pipeline, label: str) -> int:
    """Do what `testbus replay LABEL` does, and return how many events were sent."""
    (instance,) = registry.find(pipeline.settings, label)
    store = open_state(pipeline.folder, instance)
    try:
        place = LogSource(pipeline.folder, store)
        everything, silent = Selection(), Replay(id="tour")
        return fill(Plan(place=place, instance=instance, store=store, selection=everything, replay=silent)).sent
    finally:
        store.close()


def test_a_new_target_is_filled_with_the_past(pipeline: Pipeline) -> None:
    """Only its own queue receives, and the second time there is nothing left to send."""
    pipeline.consumers = {"reportportal": {"targets": {"eu": pipeline.reportportal("eu")}}}
    pipeline.publish(passed("cart adds"), failed("cart totals"))
    pipeline.drain()
    pipeline.consumers["reportportal"]["targets"]["us"] = pipeline.reportportal("us")
    pipeline.drain()
    assert pipeline.items("us") == {}
    assert replay(pipeline, "reportportal/us") > 0
    pipeline.drain()
    assert pipeline.items("us") == pipeline.items("eu")
    assert replay(pipeline, "reportportal/us") == 0


def test_nobody_is_told_of_old_news(pipeline: Pipeline) -> None:
    """A replay that nobody asked to be told of stays silent."""
    pipeline.publish(failed("cart totals"))
    pipeline.drain()
    pipeline.consumers = {"slack": pipeline.slack()}
    pipeline.drain()
    assert replay(pipeline, "slack") > 0
    pipeline.drain()
    assert pipeline.said() == []
