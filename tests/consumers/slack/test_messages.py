"""What people read in Slack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbus_consumers.errors import SettingsError
from testbus_consumers.runtime.delivery import Acknowledge
from testbus_consumers.settings import parse
from testbus_consumers.slack.settings import SlackSettings
from testbus_consumers.testing import run_context
from testbus_schemas import RuleEvaluated
from tests.consumers.slack.slack_events import START, cause, failing, judged, launched, lines, reopened, started

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import SlackServer


def test_a_run_is_one_message_from_its_start_to_its_verdict(worker: ConsumerHarness, slack: SlackServer) -> None:
    """Posted when the first of its processes starts, updated when it is judged, never posted again."""
    context = run_context(suite="unit", started_at=START)
    worker.deliver(started(context), started(context, "p2"))
    (message,) = slack.messages
    assert message.channel.name == "ci"
    assert lines(message) == ["⏳ *web · unit* is running", "run run-1"]
    worker.deliver(judged(context, "passed"))
    (message,) = slack.messages
    assert lines(message) == ["✅ *web · unit*: 1,204 tests passed", "run run-1 · 12 min 5 s"]
    assert message.text == "✅ *web · unit*: 1,204 tests passed"
    assert message.edits == 1
    assert message.metadata is not None
    assert message.metadata["event_type"] == "testbus_run"
    assert message.metadata["event_payload"]["run"] == "run-1"


def test_a_failure_is_told_with_rules_causes_and_links(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """Verdict and counts, the rules that failed, equal causes together, then where to look."""
    worker = make_worker(report_url="https://report.example.com/{project}?run={run}")
    context = run_context(
        suite="unit", branch="main", commit="c0ffee" * 6, build_url="https://ci/1", pull_request="7", started_at=START
    )
    rules = (
        RuleEvaluated(rule="pass_rate", outcome="failed", value=99.7508, threshold=100, unit="%", message="..."),
        RuleEvaluated(rule="coverage", outcome="passed", value=81, threshold=80, unit="%", message="fine"),
    )
    failures = (
        failing("test_a.py::test_x", "no <user> & co", "v1:a"),
        failing("test_b.py::test_1", "bad 1", "v1:b"),
        failing("test_b.py::test_2", "bad 2", "v1:b"),
    )
    worker.deliver(judged(context, "failed", rules=rules, failures=failures))
    (message,) = slack.messages
    report = "https://report.example.com/web?run=run-1"
    assert lines(message) == [
        "❌ *web · unit*: 3 of 1,204 tests fail, for 2 causes; 2 of them: `ValueError: bad 1`",
        "• *pass rate* is 99.75 %, wanted at least 100 %",
        "• `ValueError: bad 1` in `test_b.py::test_1` and 1 more test",
        "• `ValueError: no &lt;user&gt; &amp; co` in `test_a.py::test_x`",
        f"<https://ci/1|run run-1> · <{report}|Report> · `main` at `c0ffeec` · pull request 7 · 12 min 5 s",
    ]
    assert message.text == lines(message)[0]
    assert message.edits == 0


def test_an_incomplete_run_says_what_is_missing(worker: ConsumerHarness, slack: SlackServer) -> None:
    """It never looks like a passed one."""
    worker.deliver(judged(run_context(started_at=START), "incomplete", reasons=("shard 2 of 2 never reported",)))
    (message,) = slack.messages
    assert lines(message)[:2] == [
        "⚠️ *web · default* is incomplete: shard 2 of 2 never reported; so far 3 of 1,204 tests fail",
        "run run-1 · 12 min 5 s",
    ]


def test_many_long_causes_are_cut_to_what_slack_takes(worker: ConsumerHarness, slack: SlackServer) -> None:
    """Whole causes as far as there is room, and the number of tests that are left out."""
    failures = tuple(failing(f"test_{n}", "<&>" * 1000, f"v1:{n}") for n in range(20))
    context = run_context(suite="s" * 128, build_url="https://ci/?q=|>" + "x" * 1000, started_at=START)
    worker.deliver(judged(context, "failed", counts={"failed": 40}, total=40, failures=failures))
    (message,) = slack.messages
    causes = message.blocks[1]["text"]["text"]
    assert len(causes) <= 3000
    assert causes.splitlines()[-1] == f"… and {40 - len(causes.splitlines()) + 1} more tests"
    assert "%7C%3E" in lines(message)[-1]


def test_a_long_name_is_whole_or_a_part_that_means_something(worker: ConsumerHarness, slack: SlackServer) -> None:
    """Without its parameters, or without its folders, but never cut in the middle of a word."""
    causes = (
        cause("tests/test_a.py::test_x[" + "p" * 400 + "]", "v1:a"),
        cause("deep/" * 100 + "test_b.py::test_y", "v1:b"),
        cause("tests/test_c.py::test_" + "c" * 200, "v1:c"),
    )
    worker.deliver(judged(run_context(started_at=START), "failed", causes=causes, causes_total=3))
    body = "\n".join(lines(slack.messages[0]))
    assert "`tests/test_a.py::test_x[…]`" in body
    assert "`…test_y`" in body
    assert f"`tests/test_c.py::test_{'c' * 200}`" in body


def test_a_verdict_of_an_older_version_names_its_first_tests(worker: ConsumerHarness, slack: SlackServer) -> None:
    """It carries twenty tests and does not count its causes: there may be more of them."""
    failures = tuple(failing(f"test_{n}", f"bad {n}", "v1:a") for n in range(20))
    counts = {"failed": 25, "skipped": 5}
    worker.deliver(judged(run_context(started_at=START), "failed", counts=counts, total=30, failures=failures))
    assert lines(slack.messages[0])[:3] == [
        "❌ *web · default*: 25 of 25 tests fail (5 skipped), for several causes; 20 of them: `ValueError: bad 0`",
        "• `ValueError: bad 0` in `test_0` and 19 more tests",
        "… and 5 more tests",
    ]


def test_launches_are_linked_whenever_they_are_heard_of(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """Before the run's first event, between, and after its verdict; of several targets each by its name."""
    context = run_context(started_at=START)
    where = "<https://rp.example.com/ui/#web/launches/all/7|ReportPortal> · "
    events = [started(context), judged(context, "passed"), launched(context)]
    for folder, order in (("a", events), ("b", events[::-1]), ("c", [events[0], events[2], events[1], events[2]])):
        slack._workspace._messages.clear()
        worker = make_worker(folder)
        worker.deliver(*order)
        (message,) = slack.messages
        assert lines(message)[-1] == f"run run-1 · {where}12 min 5 s"
    worker.deliver(launched(context, target="us", url="javascript:alert(1)"))
    assert lines(slack.messages[0])[-1] == f"run run-1 · {where.replace('|ReportPortal', '|ReportPortal eu')}12 min 5 s"


def test_a_launch_is_no_reason_for_a_message(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """Where only failed runs are told of, it waits for one; its verdict then has the link."""
    worker = make_worker(only_on="failed")
    context = run_context(started_at=START)
    worker.deliver(started(context), launched(context), judged(context, "passed"))
    assert slack.messages == ()
    worker.deliver(judged(context, "failed", revision=2))
    assert "|ReportPortal>" in lines(slack.messages[0])[-1]


def test_an_older_verdict_never_replaces_a_newer_one(worker: ConsumerHarness, slack: SlackServer) -> None:
    """Whatever the order of arrival, the message ends with the latest decision."""
    context = run_context(started_at=START)
    worker.deliver(judged(context, "passed", revision=2), reopened(context), judged(context, "failed"))
    worker.deliver(started(context))
    (message,) = slack.messages
    assert lines(message)[0].startswith("✅")
    assert message.edits == 0


def test_a_reopened_run_says_that_its_verdict_no_longer_holds(worker: ConsumerHarness, slack: SlackServer) -> None:
    """With the reason and what was said before, until the next verdict."""
    context = run_context(started_at=START)
    worker.deliver(judged(context, "failed"), reopened(context))
    assert lines(slack.messages[0]) == [
        "🔄 *web · default* is open again: shard 3 came late",
        "Before: 3 of 1,204 tests fail",
        "run run-1",
    ]
    worker.deliver(judged(context, "passed", revision=2))
    (message,) = slack.messages
    assert lines(message)[0] == "✅ *web · default*: 1,204 tests passed"


def test_only_failed_runs_can_be_told_of(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """A passed run is silent; one that failed first and passed then is told of to its end."""
    worker = make_worker(only_on="failed")
    quiet, loud = run_context(run="quiet", started_at=START), run_context(run="loud", started_at=START)
    worker.deliver(started(quiet), judged(quiet, "passed", revision=2), judged(quiet, "failed", revision=1))
    assert slack.messages == ()
    worker.deliver(started(loud), judged(loud, "failed"), judged(loud, "passed", revision=2))
    (message,) = slack.messages
    assert message.edits == 1
    assert lines(message)[0].startswith("✅")


def test_runs_of_other_projects_are_left_out(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """Nothing is sent."""
    settlement = make_worker(projects=["shop"]).deliver(started(run_context()))
    assert settlement == Acknowledge(note="left out: web is not among the projects that notify")
    assert slack.requests.total == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"channel": "#ci"}, "channel"),
        ({"base_url": "http://slack.example.com/"}, "base_url: .*must be https"),
        ({"report_url": "https://x/{nope}"}, "report_url: not understood .*{run}"),
        ({"only_on": "never"}, "only_on"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, str], said: str) -> None:
    """Key path and what is allowed there."""
    with pytest.raises(SettingsError, match=said):
        parse(SlackSettings, {"token": {"env": "T"}, "channel": "C0SANDBOX01"} | wrong, "consumers.slack")
