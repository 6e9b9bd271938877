"""Slack's mrkdwn as HTML: enough of it to see what a message looks like."""

from __future__ import annotations

import re
from html import escape
from typing import Final

from markupsafe import Markup

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
        parts.append(_plain(text[end : match.start()]))
        parts.append(_token(match))
        end = match.end()
    parts.append(_plain(text[end:]))
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


def _plain(text: str) -> str:
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
