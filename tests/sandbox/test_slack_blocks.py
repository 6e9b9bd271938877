"""Block Kit's rules for what a message may consist of."""

from __future__ import annotations

from typing import Any

import pytest

from testbus_sandbox import SlackError
from testbus_sandbox.slack import blocks


def text(characters: int, kind: str = "mrkdwn") -> dict[str, str]:
    """Return a text object of that length."""
    return {"type": kind, "text": "x" * characters}


def button(characters: int = 4) -> dict[str, Any]:
    """Return a button with a label of that length."""
    return {"type": "button", "text": text(characters, "plain_text"), "url": "https://ci/1", "action_id": "open"}


IMAGE = {"type": "image", "image_url": "https://ci/1.png", "alt_text": "chart"}

GOOD = [
    {"type": "section", "text": text(3000)},
    {"type": "section", "fields": [text(2000)] * 10, "accessory": button()},
    {"type": "header", "text": text(150, "plain_text")},
    {"type": "context", "elements": [text(3000), IMAGE]},
    {"type": "actions", "elements": [button(75), {"type": "static_select"}]},
    {"type": "divider"},
    IMAGE,
    {"type": "markdown", "text": "x" * 12_000},
    {"type": "rich_text", "elements": []},
]

BAD = [
    ({"type": "section", "text": text(3001)}, "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
    ({"type": "section", "text": text(0)}, "must be more than 0 characters"),
    ({"type": "section"}, "missing required field: text or fields [json-pointer:/blocks/0]"),
    ({"type": "section", "text": "plain"}, "must provide an object [json-pointer:/blocks/0/text]"),
    ({"type": "section", "text": {"type": "html", "text": "x"}}, "unsupported type: html"),
    ({"type": "section", "text": {"type": "mrkdwn", "text": 7}}, "must provide a string"),
    ({"type": "section", "text": {"type": "mrkdwn"}}, "missing required field: text"),
    ({"type": "section", "fields": [text(2001)]}, "must be less than 2001 characters"),
    ({"type": "section", "fields": [text(1)] * 11}, "no more than 10 items allowed [json-pointer:/blocks/0/fields]"),
    ({"type": "section", "fields": ["x"]}, "must provide an object [json-pointer:/blocks/0/fields/0]"),
    ({"type": "header", "text": text(151, "plain_text")}, "must be less than 151 characters"),
    ({"type": "header", "text": text(1)}, "unsupported type: mrkdwn"),
    ({"type": "context", "elements": []}, "missing required field: elements"),
    ({"type": "actions", "elements": [button(76)]}, "must be less than 76 characters"),
    ({"type": "actions", "elements": [button()] * 26}, "no more than 25 items allowed"),
    ({"type": "image", "image_url": "https://ci/1.png"}, "missing required field: alt_text"),
    ({"type": "context", "elements": [{"type": "image", "alt_text": "x"}]}, "missing required field: image_url"),
    ({"type": "section", "text": text(1), "accessory": {"type": "image"}}, "missing required field: alt_text"),
    ({"type": "markdown"}, "missing required field: text"),
    ({"type": "rich_text"}, "missing required field: elements"),
    ({"type": "poem"}, "unsupported type: poem [json-pointer:/blocks/0/type]"),
    ({"type": "divider", "block_id": "x" * 256}, "must be less than 256 characters"),
]


@pytest.mark.parametrize("block", GOOD, ids=lambda block: block["type"])
def test_blocks_at_their_limits_are_taken(block: dict[str, Any]) -> None:
    """Each limit itself is allowed."""
    assert blocks.check([block]) == (block,)


@pytest.mark.parametrize(("block", "problem"), BAD)
def test_blocks_beyond_their_limits_are_refused(block: dict[str, Any], problem: str) -> None:
    """invalid_blocks says what is wrong and where."""
    with pytest.raises(SlackError) as caught:
        blocks.check([block])
    assert caught.value.error == "invalid_blocks"
    assert any(problem in message for message in caught.value.messages)


def test_fifty_blocks_are_the_most() -> None:
    """The 51st is one too many."""
    assert len(blocks.check([{"type": "divider"}] * 50)) == 50
    with pytest.raises(SlackError) as caught:
        blocks.check([{"type": "divider"}] * 51)
    assert caught.value.messages == ("[ERROR] no more than 50 items allowed [json-pointer:/blocks]",)


def test_block_ids_are_unique() -> None:
    """The same block_id twice is invalid."""
    with pytest.raises(SlackError, match="invalid_blocks"):
        blocks.check([{"type": "divider", "block_id": "a"}] * 2)


@pytest.mark.parametrize("value", [{}, "text", [1], [["a"]]])
def test_blocks_are_a_list_of_objects(value: Any) -> None:
    """Anything else has its own error."""
    with pytest.raises(SlackError, match="invalid_blocks_format"):
        blocks.check(value)


def test_markdown_blocks_share_a_limit() -> None:
    """12,000 characters together, not each."""
    with pytest.raises(SlackError, match="msg_blocks_too_long"):
        blocks.check([{"type": "markdown", "text": "x" * 7000}] * 2)
