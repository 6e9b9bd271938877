"""Chapter 1: runners say what happened and go on; a verdict follows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from testbus_broker.event_log import EventLog
from tests.tour.results import failed, passed

if TYPE_CHECKING:
    from tests.tour.conftest import Pipeline


def test_what_a_runner_publishes_are_cloudevents(pipeline: Pipeline) -> None:
    """Any tool can read them, and each carries the context of its run: none needs another to have come first."""
    pipeline.publish(passed("cart adds"))
    events = [json.loads(message.body) for message, _ in EventLog(pipeline.folder).read({})]
    assert [event["type"] for event in events] == [
        "io.testbus.producer.started",
        "io.testbus.results.recorded",
        "io.testbus.environment.recorded",
        "io.testbus.metrics.recorded",
        "io.testbus.producer.finished",
    ]
    assert {event["specversion"] for event in events} == {"1.0"}
    assert {event["data"]["context"]["run"] for event in events} == {"run-1"}


def test_the_gates_judge_a_run(pipeline: Pipeline) -> None:
    """Two consumers always run: `runs` decides that a run is complete, `gates` what it is worth."""
    pipeline.publish(passed("cart adds"), failed("cart totals"))
    pipeline.drain()
    verdict = pipeline.verdict()
    assert verdict["verdict"] == "failed"
    assert "cart totals" in verdict["reasons"][0]


def test_a_rule_is_a_line_of_configuration(pipeline: Pipeline) -> None:
    """What is good enough is the team's own business."""
    pipeline.consumers = {"gates": {"rules": [{"rule": "pass_rate", "minimum": 50}]}}
    pipeline.publish(passed("cart adds"), failed("cart totals"))
    pipeline.drain()
    assert pipeline.verdict()["verdict"] == "passed"


def test_saying_it_twice_changes_nothing(pipeline: Pipeline) -> None:
    """Events have ids of their own; whatever is delivered again was seen before."""
    pipeline.publish(passed("cart adds"), failed("cart totals"))
    log = EventLog(pipeline.folder)
    log.append([message for message, _ in list(log.read({}))])
    log.close()
    pipeline.drain()
    assert pipeline.verdict()["counts"] == {"passed": 1, "failed": 1}
