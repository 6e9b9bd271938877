"""The page of a Slack workspace: its channels, with messages, blocks, threads and metadata."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web
from markupsafe import Markup

from testbus_sandbox.html import moment, page
from testbus_sandbox.slack import mrkdwn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_sandbox.slack.workspace import Channel, Message, Workspace


def routes(workspace: Workspace) -> list[web.RouteDef]:
    """Return the pages: one per channel; the first channel's is also the front page."""

    async def show(request: web.Request) -> web.Response:
        wanted = request.match_info.get("channel")
        channels = tuple(workspace.channels.values())
        channel = next((one for one in channels if wanted in (None, one.name)), None)
        if channel is None:
            raise web.HTTPNotFound(text="no such channel")
        return _page(channels, channel, workspace.messages)

    async def root(_: web.Request) -> web.Response:
        raise web.HTTPFound("/ui/")

    return [web.get("/", root), web.get("/ui/", show), web.get("/ui/{channel}", show)]


def _page(channels: tuple[Channel, ...], channel: Channel, messages: tuple[Message, ...]) -> web.Response:
    """Return a channel's page."""
    here = [message for message in messages if message.channel == channel]
    replies: dict[str, list[Message]] = {}
    for message in here:
        if message.thread_ts is not None:
            replies.setdefault(message.thread_ts, []).append(message)
    return page(
        "slack",
        channels=channels,
        channel=channel,
        messages=[message for message in here if message.thread_ts is None],
        replies=replies,
        mrkdwn=mrkdwn.html,
        plain=_plain,
        words=_words,
        indented=partial(json.dumps, indent=2, ensure_ascii=False),
        posted_at=_posted_at,
    )


def _posted_at(ts: str) -> str:
    return moment(datetime.fromtimestamp(float(ts), UTC))


def _plain(text: str) -> Markup:
    """Return a plain text, with its emoji and ends of lines."""
    return Markup("<br>").join(mrkdwn.emoji(text).split("\n"))


def _words(block: Mapping[str, Any]) -> str:
    """Return the words of rich text, without its styles."""
    words: list[str] = []
    waiting: list[Any] = list(block.get("elements") or ())
    while waiting:
        element = waiting.pop(0)
        if isinstance(element, dict):
            words.append(str(element.get("text") or element.get("url") or ""))
            waiting[:0] = element.get("elements") or []
    return "".join(words)
