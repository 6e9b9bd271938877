"""Which runs are told of, and where."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers.errors import SettingsError
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.settings import parse
from testbus_consumers.slack.settings import SlackSettings
from testbus_consumers.testing import run_context
from testbus_schemas import RuleEvaluated
from tests.consumers.slack.slack_events import START, judged, lines, linked, recovered, regressed, reopened, started

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import SlackServer
    from testbus_schemas import RunContext

#: The sandbox's channels.
CI, ALERTS = "C0SANDBOX01", "C0SANDBOX02"


def of(number: int, **fields: Any) -> RunContext:
    """Return the context of the run that started at minute `number`."""
    return run_context(run=f"run-{number}", started_at=START + timedelta(minutes=number), **fields)


def told(slack: SlackServer) -> list[tuple[str, str]]:
    """Return channel and first line of each message."""
    return [(message.channel.name, lines(message)[0]) for message in slack.messages]


def test_only_changes_can_be_told(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """Green at first is no news; red is, once; green again is; other branches and suites have verdicts of their own."""
    worker = make_worker(only_on="changed")
    for number, verdict in enumerate(["passed", "failed", "failed", "incomplete", "passed", "passed"]):
        worker.deliver(started(of(number)), judged(of(number), verdict))
    assert [line.split()[0] for _, line in told(slack)] == ["❌", "⚠️", "✅"]
    worker.deliver(judged(of(7, branch="fix"), "passed"), judged(of(8, suite="smoke"), "failed"))
    assert told(slack)[3:] == [("ci", "❌ *web · smoke*: 3 of 1,204 tests fail")]


def test_changes_follow_the_start_of_runs(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """A run that started before one that was judged already says nothing of what holds now."""
    worker = make_worker(only_on="changed")
    worker.deliver(judged(of(2), "passed"), judged(of(1), "failed"), judged(of(3), "passed"))
    assert slack.messages == ()


def test_a_corrected_verdict_is_compared_with_the_run_before(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """Not with its own first verdict; a message that is there is kept up to date."""
    worker = make_worker(only_on="changed")
    worker.deliver(judged(of(1), "passed"), judged(of(2), "passed"), reopened(of(2)))
    assert slack.messages == ()
    worker.deliver(judged(of(2), "failed", revision=2), judged(of(2), "failed", revision=3))
    assert told(slack) == [("ci", "❌ *web · default*: 3 of 1,204 tests fail")]
    worker.deliver(judged(of(2), "passed", revision=4), judged(of(3), "passed"))
    assert told(slack) == [("ci", "✅ *web · default*: 1,204 tests passed")]


def test_a_change_that_could_not_be_told_is_told_later(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """The verdict is entered before Slack is asked: the next delivery finds the same reason."""
    worker = make_worker(only_on="changed")
    event = judged(of(1), "failed")
    slack.faults.status(503, times=1)
    assert isinstance(worker.deliver(event), Delay)
    assert isinstance(worker.deliver(event), Acknowledge)
    assert len(slack.messages) == 1


def test_runs_are_routed_by_project_and_branch(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """The first route that matches is taken, and the default channel where none does."""
    worker = make_worker(routes=[{"projects": ["shop-*"], "branches": ["main", "release/*"], "channel": ALERTS}])
    for project, branch in (("shop-a", "main"), ("shop-a", "fix"), ("shop-b", "release/1"), ("web", "main")):
        context = run_context(project=project, branch=branch, run=f"{project}-{branch}", started_at=START)
        worker.deliver(started(context))
    worker.deliver(started(run_context(project="shop-a", run="no-branch", started_at=START)))
    assert [channel for channel, _ in told(slack)] == ["alerts", "ci", "alerts", "ci", "ci"]


def test_verdicts_are_routed_by_severity(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """What blocks goes elsewhere than what only warns."""
    warned = (RuleEvaluated(rule="coverage", outcome="failed", severity="warn", message="..."),)
    worker = make_worker(
        only_on="changed", routes=[{"severity": ["block"], "channel": ALERTS}, {"severity": ["warn"], "channel": CI}]
    )
    worker.deliver(judged(of(1), "failed"), judged(of(2), "passed", rules=warned))
    assert [channel for channel, _ in told(slack)] == ["alerts", "ci"]


def test_a_message_stays_in_its_channel(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """Whatever the verdict is, and also when the routes are changed in between."""
    context = of(1)
    make_worker(routes=[{"severity": ["block"], "channel": ALERTS}]).deliver(started(context))
    make_worker(channel=ALERTS).deliver(judged(context, "failed"), regressed(context))
    assert [channel for channel, _ in told(slack)] == ["ci", "ci"]
    assert slack.messages[0].edits == 1


def test_alerts_can_have_a_channel_of_their_own(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """There they say which run they are of; what the route does not name stays in the thread."""
    worker = make_worker(routes=[{"severity": ["regression", "issue"], "branches": ["main"], "channel": ALERTS}])
    context = of(1, branch="main", build_url="https://ci/1")
    worker.deliver(started(context), regressed(context), recovered(context, "run-0"), linked(context))
    worker.deliver(regressed(of(2, branch="fix")))
    assert told(slack) == [
        ("ci", "⏳ *web · default* is running"),
        ("alerts", "📉 *web · default*: test_a newly failed"),
        ("ci", "🎉 test_a is well"),
        (
            "alerts",
            "🎫 *web · default*: <https://jira.example.com/browse/SHOP-17|SHOP-17> was created: ValueError: bad",
        ),
        ("ci", "⏳ *web · default* is over, and not judged yet"),
        ("ci", "📉 test_a newly failed"),
    ]
    assert lines(slack.messages[1])[1:] == ["<https://ci/1|run run-1> · `main`"]
    assert [bool(message.thread_ts) for message in slack.messages] == [False, False, True, False, False, True]


def test_an_alert_in_a_channel_of_its_own_is_told_once(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """A lost answer: it is found in that channel."""
    worker = make_worker(routes=[{"severity": ["regression"], "channel": ALERTS}])
    event = regressed(of(1))
    slack.faults.status(500, path="chat.postMessage", times=1, act_first=True)
    assert isinstance(worker.deliver(event), Delay)
    assert isinstance(worker.deliver(event), Acknowledge)
    assert [channel for channel, _ in told(slack)] == ["alerts"]


def test_messages_keep_their_distance(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """The next turn of a channel is far off: the event waits, uncounted, and nothing was sent."""
    worker = make_worker(seconds_per_message=7)
    worker.deliver(started(of(1)))
    sent = slack.requests.total
    settlement = worker.deliver(started(of(2)))
    assert isinstance(settlement, Delay)
    assert (settlement.attempt, settlement.seconds) == (0, 30)
    assert "next turn in 7 s" in settlement.reason
    assert slack.requests.total == sent


def test_branches_can_be_left_out(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """By globs; a run that knows no branch matches none."""
    worker = make_worker(projects=["w*"], branches=["main"])
    assert worker.deliver(started(of(1, branch="fix"))) == Acknowledge(
        note="left out: branch fix is not among the branches that notify"
    )
    assert "without a branch" in str(worker.deliver(started(of(2))))
    worker.deliver(started(of(3, branch="main")))
    assert len(slack.messages) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"routes": [{"channel": "#ci"}]}, r"routes\.0\.channel"),
        ({"routes": [{"severity": ["bad"], "channel": CI}]}, r"routes\.0\.severity\.0: .*block"),
        ({"routes": [{"severity": [], "channel": CI}]}, r"routes\.0\.severity"),
        ({"routes": [{"branch": ["main"], "channel": CI}]}, r"routes\.0\.branch: unknown key; allowed here: branches"),
        ({"channel": None}, "channel is missing"),
        ({"webhook": {"env": "W"}}, "exactly one of token .* and webhook"),
        ({"token": None}, "exactly one of token .* and webhook"),
        ({"token": None, "webhook": {"env": "W"}}, "a channel of its own"),
        ({"seconds_per_message": -1}, "seconds_per_message"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, Any], said: str) -> None:
    """Key path and what is allowed there."""
    given = {"token": {"env": "T"}, "channel": CI} | wrong
    with pytest.raises(SettingsError, match=said):
        parse(SlackSettings, {key: value for key, value in given.items() if value is not None}, "consumers.slack")


@pytest.mark.parametrize("first", ["start", "verdict", "regression"])
def test_a_wrong_channel_that_was_corrected_is_no_runs_channel(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer, first: str
) -> None:
    """The error names it; once it is right, what is redriven is posted there, once, and stays there."""
    events = {"start": started(of(1)), "verdict": judged(of(1), "failed"), "regression": regressed(of(1))}
    letter = make_worker(channel="C0WRONG0000").deliver(events[first])
    assert isinstance(letter, DeadLetter)
    assert "in C0WRONG0000: channel_not_found" in letter.error
    right = make_worker(channel=CI)
    for _ in range(2):
        right.deliver(events[first], events["verdict"])
    make_worker(channel=ALERTS).deliver(events["verdict"], reopened(of(1)))
    assert [message.channel.name for message in slack.messages if not message.thread_ts] == ["ci"]
    assert len(slack.messages) == (2 if first == "regression" else 1)


def test_a_wrong_route_that_was_corrected_is_no_runs_channel(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """The route of the verdict's severity counts, whatever is told of the run first when it is right."""
    wrong = make_worker(routes=[{"severity": ["block"], "channel": "C0WRONG0000"}], only_on="failed")
    letter = wrong.deliver(judged(of(1), "failed"))
    assert isinstance(letter, DeadLetter)
    right = make_worker(routes=[{"severity": ["block"], "channel": ALERTS}], only_on="failed")
    right.deliver(regressed(of(1)), judged(of(1), "failed"))
    assert [message.channel.name for message in slack.messages if not message.thread_ts] == ["alerts"]


def test_a_post_that_was_cut_off_is_looked_for_where_it_was_sent(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """Another channel in the configuration meanwhile makes no second message."""
    slack.faults.status(500, path="chat.postMessage", times=1, act_first=True)
    worker = make_worker()
    worker.deliver(judged(of(1), "failed"))
    slack.faults.clear()
    make_worker(channel=ALERTS).deliver(judged(of(1), "failed"))
    assert [message.channel.name for message in slack.messages] == ["ci"]
