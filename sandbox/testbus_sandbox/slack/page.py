"""The page of a Slack workspace: its channels, with messages, blocks, threads and metadata."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from aiohttp import web

from testbus_sandbox.html import document
from testbus_sandbox.slack import mrkdwn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbus_sandbox.slack.workspace import Channel, Message, Workspace


def routes(workspace: Workspace) -> list[web.RouteDef]:
    """Return the pages: one per channel; the first channel's is also the front page."""

    async def show(request: web.Request) -> web.Response:
        wanted = request.match_info.get("channel")
        channels = tuple(workspace.channels.values())
        channel = next((one for one in channels if wanted in (None, one.name)), None)
        if channel is None:
            raise web.HTTPNotFound(text="no such channel")
        return web.Response(text=_page(channels, channel, workspace.messages), content_type="text/html")

    async def root(_: web.Request) -> web.Response:
        raise web.HTTPFound("/ui/")

    return [web.get("/", root), web.get("/ui/", show), web.get("/ui/{channel}", show)]


def _page(channels: tuple[Channel, ...], channel: Channel, messages: tuple[Message, ...]) -> str:
    """Return a channel's page."""
    here = [message for message in messages if message.channel == channel]
    tabs = "".join(
        f'<a href="/ui/{escape(one.name)}"{" class=here" if one == channel else ""}>#{escape(one.name)}</a>'
        for one in channels
    )
    replies: dict[str, list[Message]] = {}
    for message in here:
        if message.thread_ts is not None:
            replies.setdefault(message.thread_ts, []).append(message)
    shown = "".join(_message(one, replies.get(one.ts, [])) for one in here if one.thread_ts is None)
    body = f'<div class="card">{shown}</div>' if shown else '<div class="card pad soft">No message yet.</div>'
    head = '<header class="top"><h1>Slack</h1><span class="soft">sandbox</span></header>'
    return document(f"#{channel.name} · Slack", f"{head}<nav>{tabs}</nav>{body}")


def _message(message: Message, replies: list[Message]) -> str:
    """Return a message with its thread."""
    time = f"{datetime.fromtimestamp(float(message.ts), UTC):%Y-%m-%d %H:%M:%S} UTC"
    edited = f' <span class="soft">edited {message.edits}x</span>' if message.edits else ""
    who, face = ("webhook", "face hook") if message.webhook else ("testbus", "face")
    blocks = "".join(_block(block) for block in message.blocks)
    content = f'<div class="blocks">{blocks}</div>' if blocks else mrkdwn.html(message.text)
    thread = "".join(_message(reply, []) for reply in replies)
    thread = f'<div class="replies">{thread}</div>' if thread else ""
    return (
        f'<div class="msg"><span class="{face}">{who[0]}</span><div><div class="row"><b>{who}</b>'
        f'<span class="soft">{time}</span>{edited}</div>{content}{_attachments(message)}{_metadata(message)}{thread}'
        "</div></div>"
    )


def _attachments(message: Message) -> str:
    """Return legacy attachments: their texts and blocks."""
    parts = []
    for attachment in message.attachments:
        text = mrkdwn.html(str(attachment.get("text") or attachment.get("fallback") or ""))
        blocks = "".join(_block(block) for block in attachment.get("blocks") or ())
        parts.append(f"<blockquote>{text}{blocks}</blockquote>")
    return "".join(parts)


def _metadata(message: Message) -> str:
    """Return the metadata, folded."""
    if message.metadata is None:
        return ""
    payload = escape(json.dumps(message.metadata["event_payload"], indent=2, ensure_ascii=False))
    name = escape(str(message.metadata["event_type"]))
    summary = f'<summary class="soft">metadata {name}</summary>'
    return f'<details class="meta">{summary}<pre class="box">{payload}</pre></details>'


def _block(block: Mapping[str, Any]) -> str:
    """Return one block."""
    render = _RENDERERS.get(str(block.get("type")))
    return render(block) if render else f'<div class="soft">[{escape(str(block.get("type")))}]</div>'


def _text(value: Any) -> str:
    """Return a text object."""
    if not isinstance(value, dict):
        return ""
    text = str(value.get("text", ""))
    return mrkdwn.html(text) if value.get("type") == "mrkdwn" else escape(mrkdwn.emoji(text)).replace("\n", "<br>")


def _section(block: Mapping[str, Any]) -> str:
    """Return a section: text, fields, and what is beside it."""
    fields = "".join(f"<div>{_text(field)}</div>" for field in block.get("fields") or ())
    fields = f'<div class="fields">{fields}</div>' if fields else ""
    accessory = _element(block.get("accessory"))
    accessory = f"<div>{accessory}</div>" if accessory else ""
    return f'<div class="beside"><div>{_text(block.get("text"))}{fields}</div>{accessory}</div>'


def _element(element: Any) -> str:
    """Return a button, an image or a text."""
    if not isinstance(element, dict):
        return ""
    if element.get("type") == "image":
        return f"[{escape(str(element.get('alt_text', 'image')))}]"
    if element.get("type") in {"mrkdwn", "plain_text"}:
        return _text(element)
    label = _text(element.get("text")) or escape(str(element.get("type")))
    url = str(element.get("url") or "")
    if url.startswith(("http://", "https://")):
        return f'<a class="button" href="{escape(url)}" rel="noreferrer">{label}</a>'
    return f'<span class="button">{label}</span>'


def _elements(block: Mapping[str, Any]) -> str:
    """Return the elements of actions or a context, in a row."""
    soft = " soft" if block.get("type") == "context" else ""
    parts = "".join(f"<span>{_element(element)}</span>" for element in block.get("elements") or ())
    return f'<div class="row{soft}">{parts}</div>'


def _rich(block: Mapping[str, Any]) -> str:
    """Return the words of rich text, without its styles."""
    words: list[str] = []
    waiting: list[Any] = list(block.get("elements") or ())
    while waiting:
        element = waiting.pop(0)
        if isinstance(element, dict):
            words.append(str(element.get("text") or element.get("url") or ""))
            waiting[:0] = element.get("elements") or []
    return f"<div>{escape(''.join(words))}</div>"


_RENDERERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "actions": _elements,
    "context": _elements,
    "divider": lambda _: "<hr>",
    "header": lambda block: f"<h3>{_text(block.get('text'))}</h3>",
    "image": _element,
    "markdown": lambda block: f"<pre>{escape(str(block.get('text', '')))}</pre>",
    "rich_text": _rich,
    "section": _section,
}
