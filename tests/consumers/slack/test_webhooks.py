"""The incoming webhook: a verdict at most once, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbus_consumers.errors import TargetDownError
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.testing import run_context
from tests.consumers.slack.slack_events import START, judged, lines, linked, recovered, regressed, reopened, started

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import SlackServer


@pytest.fixture
def hooked(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ConsumerHarness]:
    """Return a function that makes workers which have a webhook only."""
    monkeypatch.setenv("SLACK_WEBHOOK", slack.webhook("alerts"))
    only = {"token": None, "channel": None, "webhook": {"env": "SLACK_WEBHOOK"}, "timeout_s": 1}
    return lambda **settings: make_worker(**only | settings)


def test_a_webhook_tells_the_verdict_and_nothing_else(
    hooked: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """One message; starts, alerts and issues are left out."""
    worker, context = hooked(), run_context(started_at=START)
    for event in (started(context), regressed(context), recovered(context, "run-0"), linked(context)):
        assert "verdicts only" in str(worker.deliver(event))
    assert worker.deliver(judged(context, "failed")) == Acknowledge(note="posted by the webhook: yes")
    (message,) = slack.messages
    assert message.webhook
    assert message.channel.name == "alerts"
    assert lines(message) == ["❌ *web · default*: 3 of 1,204 tests fail", "run run-1 · 12 min 5 s"]


def test_a_corrected_verdict_is_told_when_it_is_another(
    hooked: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """What was told stays: it cannot be updated."""
    worker, context = hooked(), run_context(started_at=START)
    worker.deliver(judged(context, "failed"), reopened(context), judged(context, "failed", revision=2))
    worker.deliver(judged(context, "passed", revision=3), judged(context, "failed", revision=2))
    assert [lines(message)[0][0] for message in slack.messages] == ["❌", "✅"]


@pytest.mark.parametrize("how", ["status", "reset", "hang"])
def test_a_lost_answer_is_not_asked_for_again(
    hooked: Callable[..., ConsumerHarness], slack: SlackServer, how: str
) -> None:
    """Slack may have posted it: it is not posted a second time."""
    worker = hooked()
    which = {"path": "/services/", "times": 1, "act_first": True}
    if how == "status":
        slack.faults.status(500, **which)
    elif how == "reset":
        slack.faults.reset(**which)
    else:
        slack.faults.hang(**which)
    event = judged(run_context(started_at=START), "failed")
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    assert worker.deliver(event) == Acknowledge(note="posted by the webhook: perhaps")
    assert len(slack.messages) == 1


def test_what_slack_has_surely_not_got_is_sent_again(
    hooked: Callable[..., ConsumerHarness], slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens, too many messages, a wrong or missing address: the verdict waits."""
    worker, event = hooked(), judged(run_context(started_at=START), "failed")
    slack.faults.refuse()
    refused = worker.deliver(event)
    slack.faults.clear()
    slack.faults.status(429, retry_after_s=17, times=1)
    limited = worker.deliver(event)
    right = slack.webhook("alerts")
    monkeypatch.setenv("SLACK_WEBHOOK", f"{right}x")
    wrong = worker.deliver(event)
    worker.run_timers(10)
    monkeypatch.setenv("SLACK_WEBHOOK", "http://hooks.example.com/services/secret")
    plain = worker.deliver(event)
    for settlement, said in ((refused, "reached"), (limited, "17 s"), (wrong, "invalid_token"), (plain, "https://")):
        assert isinstance(settlement, Delay)
        assert settlement.attempt == 0
        assert said in settlement.reason
        assert "secret" not in settlement.reason
    worker.run_timers(100)
    monkeypatch.setenv("SLACK_WEBHOOK", right)
    assert worker.deliver(event) == Acknowledge(note="posted by the webhook: yes")
    assert len(slack.messages) == 1


def test_what_slack_refuses_is_a_dead_letter(hooked: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """Its answer is the error; redriven, it is sent again."""
    worker, event = hooked(), judged(run_context(started_at=START), "failed")
    slack.faults.status(400, path="/services/", times=1)
    settlement = worker.deliver(event)
    assert isinstance(settlement, DeadLetter)
    assert "webhook: 400" in settlement.error
    assert worker.deliver(event) == Acknowledge(note="posted by the webhook: yes")


def test_a_webhook_keeps_to_changes_and_to_its_rate(hooked: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """The filters of a token hold for it too."""
    worker = hooked(only_on="changed", seconds_per_message=60)
    worker.deliver(judged(run_context(run="green", started_at=START), "passed"))
    assert slack.messages == ()
    worker.deliver(judged(run_context(run="red", started_at=START), "failed"))
    settlement = worker.deliver(judged(run_context(run="red", suite="unit", started_at=START), "incomplete", 2))
    assert isinstance(settlement, Delay)
    assert len(slack.messages) == 1


def test_a_webhook_is_checked_as_far_as_that_goes_without_posting(
    hooked: Callable[..., ConsumerHarness], slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address is read, nothing is sent."""
    client = hooked().policy.client
    assert "with the first verdict" in client.check()
    monkeypatch.setenv("SLACK_WEBHOOK", "hooks.slack.com")
    with pytest.raises(TargetDownError, match="not an address"):
        client.check()
    assert slack.requests.total == 0
