"""Slack as it is on bad days: one message all the same."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from testbus_consumers.runtime.breaker import FIRST_PAUSE_S
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.testing import run_context
from tests.consumers.slack.slack_events import START, judged, lines, started

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import SlackServer


@pytest.mark.parametrize("how", ["status", "reset"])
def test_a_lost_answer_posts_no_second_message(worker: ConsumerHarness, slack: SlackServer, how: str) -> None:
    """Slack posted it and could not say so: the next delivery finds it by its metadata."""
    event = started(run_context(started_at=START))
    which = {"path": "chat.postMessage", "times": 1, "act_first": True}
    if how == "status":
        slack.faults.status(500, **which)
    else:
        slack.faults.reset(**which)
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    assert isinstance(worker.deliver(event), Acknowledge)
    assert len(slack.messages) == 1


def test_the_message_is_found_among_many(worker: ConsumerHarness, slack: SlackServer) -> None:
    """Further back than one page of the channel's history."""
    event = started(run_context(started_at=START))
    slack.faults.status(500, path="chat.postMessage", times=1, act_first=True)
    worker.deliver(event)
    worker.deliver(*(started(run_context(run=f"other-{n}", started_at=START)) for n in range(230)))
    assert isinstance(worker.deliver(event), Acknowledge)
    assert len(slack.messages) == 231


def test_a_lost_update_is_made_again(worker: ConsumerHarness, slack: SlackServer) -> None:
    """An older verdict that comes in between does not get in."""
    context = run_context(started_at=START)
    worker.deliver(started(context))
    late = judged(context, "passed", revision=2)
    slack.faults.status(503, path="chat.update", times=1)
    assert isinstance(worker.deliver(late), Delay)
    worker.deliver(judged(context, "failed", revision=1))
    worker.deliver(late)
    (message,) = slack.messages
    assert lines(message)[0].startswith("✅")
    assert message.edits == 1


def test_a_rate_limit_is_kept_and_costs_no_attempt(worker: ConsumerHarness, slack: SlackServer) -> None:
    """The event waits at least as long as Slack asks."""
    slack.faults.status(429, retry_after_s=17, times=1)
    event = started(run_context(started_at=START))
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert (settlement.seconds, settlement.attempt) == (30, 0)
    assert "17 s" in settlement.reason
    assert isinstance(worker.deliver(event), Acknowledge)
    assert len(slack.messages) == 1


def test_slacks_own_limit_delays_and_loses_nothing(worker: ConsumerHarness, slack: SlackServer) -> None:
    """One message per channel and second: the second run waits its turn."""
    slack.limit(3600)
    first, second = (started(run_context(run=name, started_at=START)) for name in ("one", "two"))
    assert isinstance(worker.deliver(first), Acknowledge)
    settlement = worker.deliver(second)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    slack.limit(None)
    worker.deliver(second)
    assert len(slack.messages) == 2


def test_slack_that_is_down_costs_no_attempt(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """Refused, hanging, unwell: the event waits."""
    worker = make_worker(timeout_s=1)
    event = started(run_context(started_at=START))
    slack.faults.refuse()
    refused = worker.deliver(event)
    slack.faults.clear()
    slack.faults.hang()
    hanging = worker.deliver(event)
    slack.faults.clear()
    slack.faults.status(503, times=1)
    unwell = worker.deliver(event)
    for settlement in (refused, hanging, unwell):
        assert isinstance(settlement, Delay)
        assert settlement.attempt == 0
    worker.run_timers(FIRST_PAUSE_S)
    assert isinstance(worker.deliver(event), Acknowledge)
    assert len(slack.messages) == 1


def test_a_token_that_is_not_accepted_stops_the_target_not_the_events(
    worker: ConsumerHarness, monkeypatch: pytest.MonkeyPatch, slack: SlackServer
) -> None:
    """Wrong or missing: said, and nothing is given up."""
    event = started(run_context(started_at=START))
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-wrong")
    wrong = worker.deliver(event)
    monkeypatch.delenv("SLACK_TOKEN")
    missing = worker.deliver(event)
    for settlement, said in ((wrong, "invalid_auth"), (missing, "SLACK_TOKEN")):
        assert isinstance(settlement, Delay)
        assert settlement.attempt == 0
        assert said in settlement.reason
    monkeypatch.setenv("SLACK_TOKEN", slack.token)
    assert isinstance(worker.deliver(event), Acknowledge)


def test_a_wrong_channel_is_rejected_with_what_to_do(make_worker: Callable[..., ConsumerHarness]) -> None:
    """The event goes to the dead letters, to be redriven once the channel is right."""
    settlement = make_worker(channel="C0NOWHERE").deliver(started(run_context(started_at=START)))
    assert isinstance(settlement, DeadLetter)
    assert "channel_not_found" in settlement.error
    assert "invite the bot" in settlement.error


def test_a_message_that_a_person_deleted_stays_deleted(worker: ConsumerHarness, slack: SlackServer) -> None:
    """The verdict is not posted behind their back."""
    context = run_context(started_at=START)
    worker.deliver(started(context))
    slack._workspace._messages.clear()
    settlement = worker.deliver(judged(context, "passed"))
    assert isinstance(settlement, Acknowledge)
    assert "took the message away" in settlement.note
    assert slack.messages == ()


def test_two_workers_post_one_message(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """Start and verdict of the same run at the same time: one message, with the verdict."""
    context = run_context(started_at=START)
    events = (started(context), judged(context, "passed"))
    slack.faults.latency(100)
    threads = [threading.Thread(target=make_worker().deliver, args=(event,)) for event in events]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads), 30, "both workers are done")
    (message,) = slack.messages
    assert lines(message)[0].startswith("✅")
