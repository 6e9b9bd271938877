"""The page of a Jira: its issues, with description, labels, comments and links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from testbus_sandbox.html import document, moment

if TYPE_CHECKING:
    from testbus_sandbox.jira.models import Comment, Issue
    from testbus_sandbox.jira.tracker import Tracker

#: Category of a status → what the sandbox's pages colour like it.
_COLOURS: Final = {"new": "other", "indeterminate": "IN_PROGRESS", "done": "PASSED"}

#: A link in wiki markup: `[words|address]`.
_LINK: Final = re.compile(r"\[([^|\]\n]+)\|(https?://[^\]\s]+)\]")


def routes(tracker: Tracker) -> list[web.RouteDef]:
    """Return the pages: all issues, and one at the address that Jira has for it."""

    async def everything(_: web.Request) -> web.Response:
        issues = tracker.issues[::-1]
        shown = "".join(_issue(issue, unfolded=len(issues) == 1) for issue in issues)
        return _page("Jira", shown or '<p class="soft">No issue yet.</p>')

    async def one(request: web.Request) -> web.Response:
        found = next((issue for issue in tracker.issues if issue.key == request.match_info["key"]), None)
        if found is None:
            raise web.HTTPNotFound(text="no such issue")
        return _page(f"{found.key} · Jira", _issue(found, unfolded=True))

    async def root(_: web.Request) -> web.Response:
        raise web.HTTPFound("/ui/")

    return [web.get("/", root), web.get("/ui/", everything), web.get("/browse/{key}", one)]


def _page(title: str, body: str) -> web.Response:
    head = '<header class="top"><h1><a href="/ui/">Jira</a></h1><span class="soft">sandbox</span></header>'
    return web.Response(text=document(title, f'{head}<div class="stack">{body}</div>'), content_type="text/html")


def _issue(issue: Issue, *, unfolded: bool) -> str:
    colour = f"var(--{_COLOURS[issue.status.category.key]})"
    labels = "".join(f'<span class="chip">{escape(label)}</span>' for label in issue.labels)
    title = (
        f'<span class="row"><a href="/browse/{escape(issue.key)}">{escape(issue.key)}</a>'
        f'<b class="grow">{escape(issue.summary)}</b>'
        f'<span class="pill" style="--s:{colour}">{escape(issue.status.name)}</span></span>'
    )
    facts = f"{escape(issue.type.name)} · created {moment(issue.created)} · edited {issue.edits}x"
    comments = "".join(_comment(comment) for comment in issue.comments)
    links = "".join(
        f"<p>{_anchor(str(link.object['url']), escape(str(link.object['title'])))}</p>" for link in issue.links
    )
    inside = (
        f'<div class="row"><span class="soft">{facts}</span>{labels}</div>'
        f'<div class="stack">{rich(issue.description)}</div>{links}'
        + (f"<h2>Comments</h2>{comments}" if comments else "")
    )
    state = " open" if unfolded else ""
    folded = f'<details{state}><summary>{title}</summary><div class="inside">{inside}</div></details>'
    return f'<div class="card tree">{folded}</div>'


def _comment(comment: Comment) -> str:
    return f'<blockquote><span class="soft">{moment(comment.created)}</span>{rich(comment.body)}</blockquote>'


def rich(value: str | Mapping[str, Any] | None) -> str:
    """Return rich text as HTML: a document with its structure, wiki markup as it is but for links."""
    if isinstance(value, Mapping):
        return _node(value)
    text = escape(value or "", quote=False)
    return f'<pre class="box">{_LINK.sub(lambda match: _anchor(match[2], match[1]), text)}</pre>' if text else ""


def _node(node: Mapping[str, Any]) -> str:
    kind = str(node.get("type"))
    if kind == "text":
        return _words(node)
    inner = "".join(_node(child) for child in node.get("content", ()))
    before, after = _TAGS.get(kind, ("", ""))
    return f"{before}{inner}{after}"


def _words(node: Mapping[str, Any]) -> str:
    text = escape(str(node.get("text", "")), quote=False)
    for mark in node.get("marks", ()):
        if mark["type"] == "link":
            text = _anchor(str(mark["attrs"]["href"]), text)
        elif mark["type"] in _MARKS:
            text = f"<{_MARKS[mark['type']]}>{text}</{_MARKS[mark['type']]}>"
    return text


def _anchor(url: str, label: str) -> str:
    """Return a link; `label` is HTML already."""
    if not url.startswith(("http://", "https://")):
        return label
    return f'<a href="{escape(url)}" rel="noreferrer">{label}</a>'


#: Mark of a text → HTML tag.
_MARKS: Final = {"strong": "b", "em": "i", "code": "code", "strike": "s", "underline": "u"}

#: Kind of node → what stands before and after its content.
_TAGS: Final = {
    "paragraph": ("<p>", "</p>"),
    "heading": ("<h2>", "</h2>"),
    "bulletList": ("<ul>", "</ul>"),
    "orderedList": ("<ol>", "</ol>"),
    "listItem": ("<li>", "</li>"),
    "codeBlock": ('<pre class="box">', "</pre>"),
    "table": ('<div class="wide"><table cellpadding="6">', "</table></div>"),
    "tableRow": ("<tr>", "</tr>"),
    "tableCell": ("<td>", "</td>"),
    "tableHeader": ('<th align="left">', "</th>"),
    "blockquote": ("<blockquote>", "</blockquote>"),
    "rule": ("<hr>", ""),
    "hardBreak": ("<br>", ""),
}
