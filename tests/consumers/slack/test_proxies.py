"""What stands between us and Slack: proxies, login pages, firewalls, and addresses that lead elsewhere."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from harness.http_front import PAGE, Answer, HttpFront, http_front
from testbus_consumers.errors import SettingsError
from testbus_consumers.runtime.breaker import LONGEST_PAUSE_S
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.testing import run_context
from tests.consumers.slack.slack_events import START, judged, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import SlackServer

    Make = Callable[..., ConsumerHarness]


@pytest.fixture
def front(slack: SlackServer) -> Iterator[HttpFront]:
    """Give a proxy before Slack."""
    with http_front(slack.url) as proxy:
        yield proxy


@pytest.fixture
def elsewhere() -> Iterator[HttpFront]:
    """Give a server that is none of ours."""
    with http_front("http://127.0.0.1:1/") as server:
        server.rule = lambda _: Answer(200, b'{"ok": true, "ts": "1.2"}', {"Content-Type": "application/json"})
        yield server


#: What stands in Slack's place, and answers.
STRANGERS = {
    "a login page": Answer(200),
    "a page without a type": Answer(200, PAGE, {}),
    "nothing": Answer(200, b"", {}),
    "a list": Answer(200, b"[]", {"Content-Type": "application/json"}),
    "a word": Answer(200, b'"ok"', {"Content-Type": "application/json"}),
    "no UTF-8": Answer(200, b"\xff\xfe", {"Content-Type": "text/plain; charset=utf-99"}),
    "a firewall": Answer(403),
    "a gateway": Answer(502),
    "a firewall in no encoding": Answer(403, b"\xff\xff", {"Content-Type": "text/html; charset=nonsense"}),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_answer_of_slacks_is_an_outage(
    make_worker: Make, slack: SlackServer, front: HttpFront, name: str
) -> None:
    """Events wait, uncounted and whatever the status says, and are told once Slack is there again."""
    worker = make_worker(base_url=front.url)
    context = run_context(started_at=START)
    front.rule = lambda _: STRANGERS[name]
    start, verdict = started(context), judged(context, "failed")
    for event in [start] * 3 + [verdict] * 3:
        settlement = worker.deliver(event)
        assert isinstance(settlement, Delay)
        assert settlement.attempt == 0
    assert worker.policy.breaker.state == "open"
    front.rule = lambda _: None
    worker.run_timers(LONGEST_PAUSE_S + 1)
    assert [type(worker.deliver(event)) for event in (start, verdict)] == [Acknowledge, Acknowledge]
    assert len(slack.messages) == 1


def test_what_a_firewall_has_against_one_message_is_that_messages_own_fault(
    make_worker: Make, slack: SlackServer, front: HttpFront
) -> None:
    """It is a dead letter that says so; the others are told."""
    worker = make_worker(base_url=front.url)
    front.rule = lambda request: Answer(403) if b"DROP TABLE" in request.body else None
    bad = worker.deliver(started(run_context(run="bad", suite="DROP TABLE", started_at=START)))
    assert isinstance(bad, DeadLetter)
    assert "firewall" in bad.error
    assert "token" not in bad.error
    assert isinstance(worker.deliver(started(run_context(started_at=START))), Acknowledge)
    assert len(slack.messages) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_gets_neither_token_nor_message(
    make_worker: Make, front: HttpFront, elsewhere: HttpFront, status: int
) -> None:
    """It is an outage; nobody but the configured address is spoken to."""
    worker = make_worker(base_url=front.url)
    front.rule = lambda _: Answer(status, b"", {"Location": elsewhere.url})
    settlement = worker.deliver(started(run_context(started_at=START)))
    assert isinstance(settlement, Delay)
    assert str(status) in settlement.reason
    assert elsewhere.seen == []


@pytest.mark.parametrize("status", [302, 307])
def test_a_webhooks_redirect_is_not_followed(
    make_worker: Make,
    slack: SlackServer,
    elsewhere: HttpFront,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message waits; nothing is said to have been told."""
    with http_front(slack.webhook("alerts")) as front:
        monkeypatch.setenv("HOOK", front.url)
        worker = make_worker(token=None, channel=None, webhook={"env": "HOOK"})
        front.rule = lambda _: Answer(status, b"", {"Location": elsewhere.url})
        assert isinstance(worker.deliver(judged(run_context(started_at=START), "failed")), Delay)
        assert elsewhere.seen == []
        front.rule = lambda _: None
        assert isinstance(worker.deliver(judged(run_context(started_at=START), "failed")), Acknowledge)
    assert len(slack.messages) == 1


@pytest.mark.parametrize("answer", [Answer(200), Answer(403), Answer(404)], ids=lambda answer: str(answer.status))
def test_a_page_in_a_webhooks_place_is_an_outage(
    make_worker: Make, slack: SlackServer, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Surely not posted, so it is posted later."""
    with http_front(slack.webhook("alerts")) as front:
        monkeypatch.setenv("HOOK", front.url)
        worker = make_worker(token=None, channel=None, webhook={"env": "HOOK"})
        front.rule = lambda _: answer
        assert isinstance(worker.deliver(judged(run_context(started_at=START), "failed")), Delay)
        front.rule = lambda _: None
        assert isinstance(worker.deliver(judged(run_context(started_at=START), "failed")), Acknowledge)
    assert len(slack.messages) == 1


@pytest.mark.parametrize("ahead_h", [3, 14, 23])
def test_a_runner_whose_clock_is_ahead_gets_no_second_message(
    make_worker: Make, slack: SlackServer, front: HttpFront, ahead_h: int
) -> None:
    """Looked for from before the run can have begun, whatever its clock says."""
    worker = make_worker(base_url=front.url)
    event = started(run_context(started_at=worker.now + timedelta(hours=ahead_h)))
    slack.faults.status(500, path="chat.postMessage", times=1, act_first=True)
    assert isinstance(worker.deliver(event), Delay)
    assert isinstance(worker.deliver(event), Acknowledge)
    assert len(slack.messages) == 1


@pytest.mark.parametrize("url", ["https://me:secret@slack.example/api/", "https://me@slack.example/api/"])
def test_credentials_do_not_belong_into_an_address(make_worker: Make, url: str) -> None:
    """They would be in logs and on pages; the password is not in the error either."""
    with pytest.raises(SettingsError, match="credentials") as refused:
        make_worker(base_url=url)
    assert "secret" not in str(refused.value)
