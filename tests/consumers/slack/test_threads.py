"""What is told in the thread of a run's message: each thing once, in whatever order it comes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.event import listen

from harness.support import wait_until
from testbus_consumers.runtime.delivery import Acknowledge, Delay
from testbus_consumers.testing import run_context
from tests.consumers.slack.slack_events import START, failing, judged, lines, linked, recovered, regressed, started

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import SlackServer
    from testbus_sandbox.slack.workspace import Message
    from testbus_schemas import Event, EventData

#: Two tests that failed for one cause, and one for another.
FAILURES = (
    failing("test_b.py::test_1", "bad 1", "v1:a"),
    failing("test_b.py::test_2", "bad 2", "v1:a"),
    failing("test_c.py::test_3", "worse", "v1:b"),
)


def threads(slack: SlackServer) -> dict[str, list[str]]:
    """Return the first line of each run's message, and those that were told in its thread."""
    tops = {message.ts: message for message in slack.messages if message.thread_ts is None}
    return {
        lines(top)[0]: [lines(message)[0] for message in slack.messages if message.thread_ts == ts]
        for ts, top in tops.items()
    }


def replies(slack: SlackServer) -> list[Message]:
    """Return everything that was told in a thread."""
    return [message for message in slack.messages if message.thread_ts is not None]


def test_a_regression_is_told_in_the_thread_of_its_run(worker: ConsumerHarness, slack: SlackServer) -> None:
    """Below the run's message, which stays as it is."""
    context = run_context(started_at=START)
    worker.deliver(started(context), judged(context, "failed"))
    worker.deliver(regressed(context, "test_a <newly> failed"))
    (reply,) = replies(slack)
    assert lines(reply) == ["📉 test_a &lt;newly&gt; failed"]
    assert reply.thread_ts == slack.messages[0].ts
    assert slack.messages[0].edits == 1


def test_a_recovery_says_since_when_it_was_there(worker: ConsumerHarness, slack: SlackServer) -> None:
    """In the thread of the run that recovered; the event of an older version knows its own sentence only."""
    first, second = (run_context(run=run, started_at=START) for run in ("run-1", "run-2"))
    worker.deliver(started(first), started(second), regressed(first))
    since = {"run": "run-1", "number": "41", "build_url": "https://ci/41", "started_at": START}
    worker.deliver(recovered(second, "run-1", tests=("test_a",), total=1, since_run=since), recovered(second, "run-0"))
    link = "<https://ci/41|#41>"
    assert [lines(reply) for reply in replies(slack)] == [
        ["📉 test_a newly failed"],
        [f"🎉 `test_a` no longer fails as of run run-2; it failed since {link} ({START:%Y-%m-%d %H:%M} UTC)"],
        ["🎉 test_a is well"],
    ]
    assert [reply.thread_ts for reply in replies(slack)[1:]] == [slack.messages[1].ts] * 2


def test_an_alert_posts_the_message_of_a_run_that_has_none(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """Whether it came first, or the run itself was no reason; its verdict then is that message's."""
    worker = make_worker(only_on="failed")
    context = run_context(started_at=START)
    worker.deliver(started(context), regressed(run_context(run="early", started_at=START)))
    assert threads(slack) == {"⏳ *web · default* is over, and not judged yet": ["📉 test_a newly failed"]}
    worker.deliver(judged(context, "passed"))
    assert len(slack.messages) == 2
    worker.deliver(recovered(context, "run-0"))
    assert threads(slack) == {
        "⏳ *web · default* is over, and not judged yet": ["📉 test_a newly failed"],
        "✅ *web · default*: 1,204 tests passed": ["🎉 test_a is well"],
    }


def test_an_issue_is_shown_at_its_cause_and_told_in_the_thread(worker: ConsumerHarness, slack: SlackServer) -> None:
    """And every later update of the message keeps it."""
    context = run_context(started_at=START)
    worker.deliver(judged(context, "failed", failures=FAILURES), linked(context))
    link = "<https://jira.example.com/browse/SHOP-17|SHOP-17>"
    cause = f"• `ValueError: bad 1` in `test_b.py::test_1` and 1 more test → {link}"
    assert cause in lines(slack.messages[0])
    assert [lines(reply) for reply in replies(slack)] == [[f"🎫 {link} was created: ValueError: bad", "Open"]]
    worker.deliver(judged(context, "failed", revision=2, failures=FAILURES))
    assert cause in lines(slack.messages[0])
    assert len(slack.messages) == 2


def test_an_issue_that_comes_before_the_verdict_is_in_it(worker: ConsumerHarness, slack: SlackServer) -> None:
    """The message is not updated for what it does not show yet."""
    context = run_context(started_at=START)
    worker.deliver(linked(context, "v1:b", "SHOP-18"))
    assert slack.messages[0].edits == 0
    worker.deliver(judged(context, "failed", failures=FAILURES))
    (cause,) = (line for line in lines(slack.messages[0]) if "worse" in line)
    assert cause.endswith("`test_c.py::test_3` → <https://jira.example.com/browse/SHOP-18|SHOP-18>")
    assert len(replies(slack)) == 1


def test_an_issue_without_an_address_is_a_name(worker: ConsumerHarness, slack: SlackServer) -> None:
    """What is no address of the web is made no link."""
    context = run_context(started_at=START)
    worker.deliver(judged(context, "failed", failures=FAILURES), linked(context, url="javascript:alert(1)"))
    assert "1 more test → SHOP-17\n" in "\n".join(lines(slack.messages[0]))


def test_an_issue_alone_is_no_reason_for_a_message(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """Where only failed runs are told of, it waits for the verdict; then it is in the message and in the thread."""
    worker = make_worker(only_on="failed")
    context = run_context(started_at=START)
    settlement = worker.deliver(started(context), linked(context))
    assert settlement == Acknowledge(note="kept until there is a reason to notify")
    assert slack.messages == ()
    worker.deliver(judged(context, "failed", failures=FAILURES))
    assert "SHOP-17" in "\n".join(lines(slack.messages[0]))
    assert len(replies(slack)) == 1


def test_an_issue_costs_the_same_however_many_were_told_before(worker: ConsumerHarness, slack: SlackServer) -> None:
    """Which of a run's issues are in its thread is asked once, not of each."""
    context = run_context(started_at=START)
    worker.deliver(judged(context, "failed", failures=FAILURES), linked(context, "v1:0", "SHOP-10"))
    statements: list[str] = []
    listen(
        worker.policy.store.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )
    costs = []
    for number in range(1, 7):
        statements.clear()
        worker.deliver(linked(context, f"v1:{number}", f"SHOP-1{number}"))
        costs.append(len(statements))
    assert len(set(costs)) == 1
    assert len(replies(slack)) == 7


def test_one_issue_for_several_causes_is_told_once(worker: ConsumerHarness, slack: SlackServer) -> None:
    """It is shown at each of them."""
    context = run_context(started_at=START)
    worker.deliver(judged(context, "failed", failures=FAILURES))
    worker.deliver(linked(context, "v1:a"), linked(context, "v1:b", action="updated"))
    assert "\n".join(lines(slack.messages[0])).count("|SHOP-17>") == 2
    assert len(replies(slack)) == 1


def test_everything_ends_the_same_in_any_order(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """Forwards, backwards, and each event twice."""
    context = run_context(started_at=START)
    events = [started(context), judged(context, "failed", failures=FAILURES), regressed(context), linked(context)]
    ends = []
    for folder, order in (("a", events), ("b", events[::-1]), ("c", [*events, *events])):
        slack._workspace._messages.clear()
        make_worker(folder).deliver(*order)
        told = sorted(tuple(lines(message)) for message in slack.messages)
        ends.append(told)
    assert ends[0] == ends[1] == ends[2]
    assert len(ends[0]) == 3


@pytest.mark.parametrize("event", [regressed(run_context(started_at=START)), linked(run_context(started_at=START))])
@pytest.mark.parametrize("how", ["status", "reset"])
def test_a_lost_answer_tells_nothing_twice(
    worker: ConsumerHarness, slack: SlackServer, event: Event[EventData], how: str
) -> None:
    """Slack took the reply and could not say so: the next delivery finds it in the thread by its metadata."""
    worker.deliver(started(run_context(started_at=START)))
    if how == "status":
        slack.faults.status(500, path="chat.postMessage", times=1, act_first=True)
    else:
        slack.faults.reset(path="chat.postMessage", times=1, act_first=True)
    assert isinstance(worker.deliver(event), Delay)
    assert isinstance(worker.deliver(event), Acknowledge)
    assert len(replies(slack)) == 1
    assert slack.requests.by_route["POST /api/chat.postMessage"] == 2


def test_a_crash_before_the_event_was_done_tells_nothing_twice(
    make_worker: Callable[..., ConsumerHarness], slack: SlackServer
) -> None:
    """Slack took everything, the ledger is lost: what was told is known all the same."""
    context = run_context(started_at=START)
    events = [started(context), judged(context, "failed", failures=FAILURES), regressed(context), linked(context)]
    worker = make_worker()
    worker.deliver(*events)
    before = [(message.ts, message.text) for message in slack.messages]
    with worker.policy.store.begin() as connection:
        connection.exec_driver_sql("DELETE FROM testbus_delivery")
    make_worker().deliver(*events)
    assert [(message.ts, message.text) for message in slack.messages] == before
    assert len(before) == 3


def test_nobody_is_told_of_the_past(worker: ConsumerHarness, slack: SlackServer) -> None:
    """What is replayed stays silent."""
    context = run_context(started_at=START)
    worker.deliver(started(context), judged(context, "failed"), regressed(context), linked(context), replay="r1")
    assert slack.requests.total == 0


def test_a_refused_connection_between_message_and_reply_loses_nothing(
    worker: ConsumerHarness, slack: SlackServer
) -> None:
    """The message is there, the reply is not: it is told by the next delivery."""
    event = regressed(run_context(started_at=START))
    slack.limit(3600)
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    assert len(slack.messages) == 1
    slack.limit(None)
    assert isinstance(worker.deliver(event), Acknowledge)
    assert [message.thread_ts for message in slack.messages] == [None, slack.messages[0].ts]


def test_two_workers_tell_each_thing_once(make_worker: Callable[..., ConsumerHarness], slack: SlackServer) -> None:
    """Both are given everything at the same time, in opposite order."""
    context = run_context(started_at=START)
    events = [judged(context, "failed", failures=FAILURES), regressed(context), linked(context)]
    slack.faults.latency(50)
    threads = [threading.Thread(target=make_worker().deliver, args=order) for order in (events, events[::-1])]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads), 30, "both workers are done")
    make_worker().deliver(*events)
    assert len(slack.messages) == 3
    assert len(replies(slack)) == 2
    assert "SHOP-17" in "\n".join(lines(slack.messages[0]))


def test_the_thread_of_a_message_that_a_person_deleted_stays_closed(
    worker: ConsumerHarness, slack: SlackServer
) -> None:
    """What could not be found out is not told behind their back."""
    context = run_context(started_at=START)
    event = regressed(context)
    worker.deliver(started(context))
    slack.faults.status(503, path="chat.postMessage", times=1)
    assert isinstance(worker.deliver(event), Delay)
    slack._workspace._messages.clear()
    settlement = worker.deliver(event)
    assert isinstance(settlement, Acknowledge)
    assert "thread_not_found" in settlement.note
    assert slack.messages == ()


def test_a_run_of_which_nothing_is_heard_is_forgotten(worker: ConsumerHarness) -> None:
    """After sixty days: its rows go, so that state does not grow with runs."""
    context = run_context(started_at=START)
    worker.deliver(started(context), linked(context))
    assert worker.run_timers(59 * 86400) == 0
    assert worker.run_timers(2 * 86400) == 1
    with worker.policy.store.begin() as connection:
        for table in ("shown", "link"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0
