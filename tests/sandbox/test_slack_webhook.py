"""Incoming webhooks: plain answers, one channel each, and nothing to update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from slack_sdk.webhook import WebhookClient

if TYPE_CHECKING:
    from testbus_sandbox import SlackServer


def test_the_official_client_posts_through_a_webhook(slack: SlackServer) -> None:
    """The answer is 200 `ok`, the message is in the webhook's channel."""
    answer = WebhookClient(slack.webhook("alerts")).send(text="down", blocks=[{"type": "divider"}])
    assert (answer.status_code, answer.body) == (200, "ok")
    (message,) = slack.messages
    assert (message.channel.name, message.text, message.webhook) == ("alerts", "down", True)


def test_a_form_has_the_payload_in_a_field(slack: SlackServer) -> None:
    """The old way of posting still works."""
    answer = requests.post(slack.webhook("ci"), data={"payload": '{"text": "hello"}'}, timeout=10)
    assert answer.text == "ok"
    assert slack.messages[0].text == "hello"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("{", 400, "invalid_payload"),
        ("[]", 400, "invalid_payload"),
        ("{}", 400, "no_text"),
        ('{"blocks": [{"type": "poem"}]}', 400, "invalid_blocks"),
    ],
)
def test_a_webhook_refuses_in_plain_text(slack: SlackServer, body: str, status: int, error: str) -> None:
    """The error's name is the body."""
    answer = requests.post(slack.webhook("ci"), data=body, timeout=10)
    assert (answer.status_code, answer.text) == (status, error)
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("part", "expected"), [(-3, (404, "no_team")), (-2, (404, "no_service")), (-1, (403, "invalid_token"))]
)
def test_a_webhook_url_is_a_secret(slack: SlackServer, part: int, expected: tuple[int, str]) -> None:
    """Each wrong part of the URL has its own answer."""
    parts: list[Any] = slack.webhook("ci").split("/")
    parts[part] = "wrong"
    answer = requests.post("/".join(parts), json={"text": "x"}, timeout=10)
    assert (answer.status_code, answer.text) == expected
