"""The page of a Slack workspace: its channels, with messages, blocks, threads and metadata."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from markupsafe import Markup

from testbus_sandbox.html import moment, page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_sandbox.slack.workspace import Channel, Message, Workspace


#: Names of emoji that reports use.
_EMOJI: Final = {
    "white_check_mark": "✅",
    "heavy_check_mark": "✔️",
    "x": "❌",
    "warning": "⚠️",
    "rotating_light": "🚨",
    "red_circle": "🔴",
    "large_green_circle": "🟢",
    "large_yellow_circle": "🟡",
    "large_orange_circle": "🟠",
    "hourglass_flowing_sand": "⏳",
    "repeat": "🔁",
    "bug": "🐛",
    "fire": "🔥",
    "tada": "🎉",
    "eyes": "👀",
    "mag": "🔍",
    "chart_with_upwards_trend": "📈",
    "chart_with_downwards_trend": "📉",
    "no_entry": "⛔",
    "information_source": "ℹ️",  # noqa: RUF001 - the emoji itself
}

#: Code first, because nothing inside it is markup; then links and mentions.
_TOKENS: Final = re.compile(r"```(?P<pre>.+?)```|`(?P<code>[^`\n]+)`|<(?P<link>[^<>\n]+)>", re.DOTALL)

#: Markup that may surround words.
_STYLES: Final = (
    (re.compile(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])"), r"<b>\1</b>"),
    (re.compile(r"(?<![\w_])_([^_\n]+)_(?![\w_])"), r"<i>\1</i>"),
    (re.compile(r"(?<![\w~])~([^~\n]+)~(?![\w~])"), r"<s>\1</s>"),
)

_SHORTCODE: Final = re.compile(r":([a-z0-9_+-]+):")


def html(text: str) -> Markup:
    """Return mrkdwn as HTML; everything from the message is escaped."""
    parts: list[str] = []
    end = 0
    for match in _TOKENS.finditer(text):
        parts.append(_outside(text[end : match.start()]))
        parts.append(_token(match))
        end = match.end()
    parts.append(_outside(text[end:]))
    return Markup("".join(parts))  # noqa: S704 each part is escaped


def emoji(text: str) -> str:
    """Replace the shortcodes that are known."""
    return _SHORTCODE.sub(lambda match: _EMOJI.get(match[1], match[0]), text)


def _token(match: re.Match[str]) -> str:
    """Return code, or what angle brackets mean."""
    if match["pre"] is not None:
        return f'<pre class="box">{_once(match["pre"].strip())}</pre>'
    if match["code"] is not None:
        return f"<code>{_once(match['code'])}</code>"
    target, _, label = match["link"].partition("|")
    if target.startswith(("http://", "https://", "mailto:")):
        return f'<a href="{_once(target)}" rel="noreferrer">{_once(label or target)}</a>'
    return f"<b>{_once(label or target)}</b>"


def _outside(text: str) -> str:
    """Return text outside code and links."""
    shown = emoji(_once(text))
    for pattern, markup in _STYLES:
        shown = pattern.sub(markup, shown)
    lines = [
        f"<blockquote>{line.removeprefix('&gt;').strip()}</blockquote>" if line.startswith("&gt;") else f"{line}<br>"
        for line in shown.split("\n")
    ]
    return "".join(lines).removesuffix("<br>")


def _once(text: str) -> str:
    """Escape text whose `&`, `<` and `>` Slack's rules may have escaped already."""
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return escape(text)


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
        mrkdwn=html,
        plain=_plain,
        words=_words,
        indented=partial(json.dumps, indent=2, ensure_ascii=False),
        posted_at=_posted_at,
    )


def _posted_at(ts: str) -> str:
    return moment(datetime.fromtimestamp(float(ts), UTC))


def _plain(text: str) -> Markup:
    """Return a plain text, with its emoji and ends of lines."""
    return Markup("<br>").join(emoji(text).split("\n"))


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
