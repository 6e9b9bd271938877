"""Slack's Web API: the official WebClient works unmodified, and Slack's rules hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

if TYPE_CHECKING:
    from testbus_sandbox import SlackServer

METADATA = {"event_type": "testbus_run", "event_payload": {"run": "42"}}


@pytest.fixture
def client(slack: SlackServer) -> WebClient:
    """Return the official client with the bot's token."""
    return WebClient(slack.token, base_url=slack.url)


def error_of(call: Any, **arguments: Any) -> str:
    """Return the error of a call that Slack refuses."""
    with pytest.raises(SlackApiError) as caught:
        call(**arguments)
    return str(caught.value.response["error"])


def call(slack: SlackServer, method: str, **options: Any) -> requests.Response:
    """Call a method without the official client."""
    return requests.post(slack.url + method, timeout=10, **options)


def test_a_message_is_posted_by_name_and_by_id(client: WebClient, slack: SlackServer) -> None:
    """Posting takes `#name`, `name` and the id; the answer has channel, ts and message."""
    channel = slack.channel("ci")
    answers = [client.chat_postMessage(channel=key, text="hello") for key in ("#ci", "ci", channel.id)]
    assert {answer["channel"] for answer in answers} == {channel.id}
    assert answers[0]["message"]["text"] == "hello"
    assert [message.ts for message in slack.messages] == [answer["ts"] for answer in answers]
    assert sorted({message.ts for message in slack.messages}) == [message.ts for message in slack.messages]


def test_the_token_is_checked(slack: SlackServer) -> None:
    """Without a token: not_authed; with another one: invalid_auth; api.test needs none. All with HTTP 200."""
    nobody = call(slack, "auth.test")
    assert (nobody.status_code, nobody.json()) == (200, {"ok": False, "error": "not_authed"})
    assert error_of(WebClient("xoxb-other", base_url=slack.url).auth_test) == "invalid_auth"
    assert call(slack, "auth.test", data={"token": slack.token}).json()["ok"]
    assert call(slack, "api.test", json={"foo": "bar"}).json() == {"ok": True, "args": {"foo": "bar"}}
    assert call(slack, "api.test", data={"error": "my_error"}).json() == {"ok": False, "error": "my_error"}
    assert call(slack, "nothing.here").json()["error"] == "unknown_method"


def test_auth_test_says_who_the_bot_is(client: WebClient) -> None:
    """Team, user and bot have ids."""
    answer = client.auth_test()
    assert answer["team_id"].startswith("T")
    assert answer["bot_id"].startswith("B")


def test_forms_and_json_mean_the_same(slack: SlackServer) -> None:
    """A form has blocks and metadata as JSON text; JSON without a header token is nobody."""
    form = {"token": slack.token, "channel": "ci", "text": "x", "blocks": '[{"type": "divider"}]', "metadata": "{}"}
    assert call(slack, "chat.postMessage", data=form).json()["ok"]
    assert [dict(block) for block in slack.messages[0].blocks] == [{"type": "divider"}]
    body = {"token": slack.token, "channel": "ci", "text": "x"}
    assert call(slack, "chat.postMessage", json=body).json()["error"] == "not_authed"
    headers = {"Authorization": f"Bearer {slack.token}"}
    assert call(slack, "chat.postMessage", json=body, headers=headers).json()["ok"]
    typed = headers | {"Content-Type": "application/json"}
    assert call(slack, "chat.postMessage", data="{", headers=typed).json()["error"] == "invalid_json"
    assert call(slack, "chat.postMessage", data="[]", headers=typed).json()["error"] == "json_not_object"
    text = headers | {"Content-Type": "text/plain"}
    assert call(slack, "chat.postMessage", data="x", headers=text).json()["error"] == "invalid_post_type"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "nowhere", "text": "x"}, "channel_not_found"),
        ({"channel": "ci", "text": ""}, "no_text"),
        ({"channel": "ci", "text": "  "}, "no_text"),
        ({"channel": "ci", "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": "ci", "text": "x", "thread_ts": "soon"}, "invalid_thread_ts"),
        (
            {"channel": "ci", "text": "x", "metadata": {"event_type": "a b", "event_payload": {}}},
            "invalid_metadata_schema",
        ),
        ({"channel": "ci", "text": "x", "metadata": {"event_type": "a"}}, "invalid_metadata_schema"),
        ({"channel": "ci", "text": "x", "metadata": "no json"}, "invalid_metadata_format"),
        ({"channel": "ci", "text": "x", "metadata": [1]}, "invalid_metadata_format"),
        (
            {"channel": "ci", "text": "x", "metadata": {"event_type": "a", "event_payload": {"k": "v" * 20_000}}},
            "metadata_too_large",
        ),
        ({"channel": "ci", "text": "x", "attachments": "no json"}, "invalid_attachments"),
        ({"channel": "ci", "text": "x", "attachments": [{"text": "a"}] * 101}, "too_many_attachments"),
    ],
)
def test_a_message_that_slack_does_not_take(client: WebClient, arguments: dict[str, Any], error: str) -> None:
    """Each has Slack's error name, and nothing is posted."""
    assert error_of(client.api_call, api_method="chat.postMessage", json=arguments) == error


def test_40_000_characters_are_taken(client: WebClient, slack: SlackServer) -> None:
    """The limit itself is allowed."""
    client.chat_postMessage(channel="ci", text="x" * 40_000)
    assert len(slack.messages[0].text) == 40_000


def test_replies_hang_in_a_thread(client: WebClient, slack: SlackServer) -> None:
    """The channel shows the first message with the count, the thread shows all, a broadcast both."""
    channel = slack.channel("ci").id
    first = client.chat_postMessage(channel=channel, text="first")["ts"]
    reply = client.chat_postMessage(channel=channel, text="reply", thread_ts=first)["ts"]
    loud = client.chat_postMessage(channel=channel, text="loud", thread_ts=first, reply_broadcast=True)["ts"]
    assert [message.thread_ts for message in slack.messages] == [None, first, first]
    history = client.conversations_history(channel=channel)["messages"]
    assert [message["ts"] for message in history] == [loud, first]
    assert (history[1]["reply_count"], history[1]["latest_reply"]) == (2, loud)
    replies = client.conversations_replies(channel=channel, ts=first)["messages"]
    assert [message["ts"] for message in replies] == [first, reply, loud]
    assert error_of(client.conversations_replies, channel=channel, ts="1.000000") == "thread_not_found"
    assert error_of(client.chat_postMessage, channel=channel, text="x", thread_ts=reply) == "invalid_thread_ts"


def test_a_reply_to_nothing_lands_in_the_channel(client: WebClient, slack: SlackServer) -> None:
    """A thread whose first message is gone is no thread."""
    client.chat_postMessage(channel="ci", text="x", thread_ts="1700000000.000001")
    assert slack.messages[0].thread_ts is None


def test_metadata_comes_back_only_when_asked_for(client: WebClient, slack: SlackServer) -> None:
    """History has metadata with include_all_metadata."""
    channel = slack.channel("ci").id
    client.chat_postMessage(channel=channel, text="x", metadata=METADATA)
    assert slack.messages[0].metadata == METADATA
    asked = client.conversations_history(channel=channel, include_all_metadata=True)["messages"][0]
    assert asked["metadata"] == METADATA
    assert "metadata" not in client.conversations_history(channel=channel)["messages"][0]


def test_an_update_replaces_text_and_blocks_and_keeps_metadata(client: WebClient, slack: SlackServer) -> None:
    """Text alone takes blocks away; metadata stays until there is new, and an empty one removes it."""
    channel = slack.channel("ci").id
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*run*"}}]
    ts = client.chat_postMessage(channel=channel, text="fallback", blocks=blocks, metadata=METADATA)["ts"]
    answer = client.chat_update(channel=channel, ts=ts, text="done")
    assert (answer["ts"], answer["text"], answer["message"]["edited"]["ts"]) == (ts, "done", ts)
    (message,) = slack.messages
    assert (message.text, message.blocks, message.metadata, message.edits) == ("done", (), METADATA, 1)
    client.api_call("chat.update", json={"channel": channel, "ts": ts, "blocks": blocks, "metadata": {}})
    (message,) = slack.messages
    assert (message.text, len(message.blocks), message.metadata, message.edits) == ("done", 1, None, 2)
    assert [update.before.text for update in slack.updates] == ["fallback", "done"]


def test_only_ones_own_messages_can_be_updated(client: WebClient, slack: SlackServer) -> None:
    """What does not exist: message_not_found; a webhook's: cant_update_message; by channel name: channel_not_found."""
    channel = slack.channel("ci").id
    requests.post(slack.webhook("ci"), json={"text": "hook"}, timeout=10)
    ts = slack.messages[0].ts
    assert error_of(client.chat_update, channel=channel, ts="1.000000", text="x") == "message_not_found"
    assert error_of(client.chat_update, channel=channel, ts=ts, text="x") == "cant_update_message"
    assert error_of(client.chat_update, channel="ci", ts=ts, text="x") == "channel_not_found"
    assert error_of(client.chat_update, channel=slack.channel("alerts").id, ts=ts, text="x") == "message_not_found"
    assert error_of(client.chat_update, channel=channel, ts="", text="x") == "invalid_arguments"


def test_history_comes_in_pages(client: WebClient, slack: SlackServer) -> None:
    """A cursor leads to the next page; oldest and latest cut, inclusive or not."""
    channel = slack.channel("ci").id
    sent = [client.chat_postMessage(channel=channel, text=str(number))["ts"] for number in range(5)]
    first = client.conversations_history(channel=channel, limit=2)
    assert first["has_more"]
    cursor = first["response_metadata"]["next_cursor"]
    second = client.conversations_history(channel=channel, limit=3, cursor=cursor)
    assert not second["has_more"]
    assert [message["ts"] for message in [*first["messages"], *second["messages"]]] == sent[::-1]
    between = client.conversations_history(channel=channel, oldest=sent[1], latest=sent[3])["messages"]
    assert [message["ts"] for message in between] == [sent[2]]
    whole = client.conversations_history(channel=channel, oldest=sent[1], latest=sent[3], inclusive=True)["messages"]
    assert len(whole) == 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"limit": 0}, "invalid_limit"),
        ({"limit": 1000}, "invalid_limit"),
        ({"cursor": "???"}, "invalid_cursor"),
        ({"cursor": "bm9uZQ=="}, "invalid_cursor"),
        ({"oldest": "yesterday"}, "invalid_ts_oldest"),
        ({"latest": "now"}, "invalid_ts_latest"),
        ({"channel": "C999"}, "channel_not_found"),
        ({"channel": ""}, "invalid_arguments"),
    ],
)
def test_history_refuses_what_makes_no_sense(
    client: WebClient, slack: SlackServer, arguments: dict[str, Any], error: str
) -> None:
    """Bad limits, cursors, ends and channels have their error names."""
    assert error_of(client.conversations_history, **({"channel": slack.channel("ci").id} | arguments)) == error


def test_a_channel_takes_one_message_in_so_many_seconds(client: WebClient, slack: SlackServer) -> None:
    """The limit is per channel, answers 429 with Retry-After, counts webhooks, and can be taken off."""
    slack.limit(3600)
    client.chat_postMessage(channel="ci", text="first")
    client.chat_postMessage(channel="alerts", text="first")
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="ci", text="second")
    response = caught.value.response
    assert (response.status_code, response["error"]) == (429, "ratelimited")
    assert 3590 < int(response.headers["Retry-After"]) <= 3600
    hook = requests.post(slack.webhook("ci"), json={"text": "second"}, timeout=10)
    assert (hook.status_code, hook.text) == (429, "rate_limited")
    assert int(hook.headers["Retry-After"]) > 0
    slack.limit(None)
    client.chat_postMessage(channel="ci", text="second")
    assert [message.text for message in slack.messages] == ["first", "first", "second"]
