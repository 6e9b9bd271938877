"""Chapter 4: what cannot be handled is kept, with its reason; what was handled is not handled again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbus_broker.event_log import EventLog
from testbus_broker.message import Message
from testbus_consumers import registry
from testbus_consumers.embedded import state
from testbus_consumers.embedded.bus import open_state
from tests.tour.results import failed, passed

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.tour.conftest import Pipeline


def test_nonsense_goes_to_the_dead_letters_and_stops_nobody(pipeline: Pipeline) -> None:
    """The raw message waits there with its error; events behind it are handled."""
    log = EventLog(pipeline.folder)
    log.append([Message(body=b"{", routing_key="results.recorded.shop", message_id="broken")])
    log.close()
    pipeline.publish(passed("cart adds"))
    pipeline.drain()
    (runs,) = registry.find(pipeline.settings, "runs")
    store = open_state(pipeline.folder, runs)
    (dead_letter,) = state.dead_letters(store)
    store.close()
    assert dead_letter.message.body == b"{"
    assert "JSON" in dead_letter.error
    assert pipeline.verdict()["verdict"] == "passed"


def test_the_ledger_says_where_every_event_is(pipeline: Pipeline) -> None:
    """`testbus trace RUN` answers "where is my result?" consumer by consumer."""
    pipeline.consumers = {"reportportal": {"targets": {"eu": pipeline.reportportal("eu")}}}
    pipeline.publish(passed("cart adds"))
    pipeline.drain()
    assert pipeline.trace() == {"runs": {"done"}, "gates": {"done"}, "reportportal/eu": {"done"}}


def test_a_target_that_did_the_work_and_then_failed_is_not_asked_twice(pipeline: Pipeline) -> None:
    """The intent was written down before the call: whoever comes next asks by a key, and finds what is there."""
    pipeline.consumers = {"jira": pipeline.jira()}
    pipeline.sandbox.jira.faults.status(500, method="POST", path="/issue$", act_first=True, times=1)
    pipeline.publish(failed("cart totals"))
    pipeline.drain()
    assert pipeline.trace()["jira"] == {"done"}
    assert len(pipeline.sandbox.jira.issues) == 1
