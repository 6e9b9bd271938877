"""The page of a Jira: its issues, with description, labels, comments and links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from markupsafe import Markup, escape

from testbus_sandbox.html import is_web, page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_sandbox.jira.models import Issue
    from testbus_sandbox.jira.tracker import Tracker

#: Category of a status → what the sandbox's pages colour like it.
_COLOURS: Final = {"new": "other", "indeterminate": "IN_PROGRESS", "done": "PASSED"}

#: A link in wiki markup: `[words|address]`.
_LINK: Final = re.compile(r"\[([^|\]\n]+)\|(https?://[^\]\s]+)\]")


def routes(tracker: Tracker) -> list[web.RouteDef]:
    """Return the pages: all issues, and one at the address that Jira has for it."""

    async def everything(_: web.Request) -> web.Response:
        issues = tracker.issues[::-1]
        return _page("Jira", issues, unfolded=len(issues) == 1)

    async def one(request: web.Request) -> web.Response:
        found = next((issue for issue in tracker.issues if issue.key == request.match_info["key"]), None)
        if found is None:
            raise web.HTTPNotFound(text="no such issue")
        return _page(f"{found.key} · Jira", (found,), unfolded=True)

    async def root(_: web.Request) -> web.Response:
        raise web.HTTPFound("/ui/")

    return [web.get("/", root), web.get("/ui/", everything), web.get("/browse/{key}", one)]


def _page(title: str, issues: Sequence[Issue], *, unfolded: bool) -> web.Response:
    return page("jira", title=title, issues=issues, unfolded=unfolded, colours=_COLOURS, rich=rich, anchor=_anchor)


def rich(value: str | Mapping[str, Any] | None) -> Markup:
    """Return rich text as HTML: a document with its structure, wiki markup as it is but for links."""
    if isinstance(value, Mapping):
        return _node(value)
    parts, end = [], 0
    for match in _LINK.finditer(value or ""):
        parts += [escape((value or "")[end : match.start()]), _anchor(match[2], match[1])]
        end = match.end()
    text = Markup().join([*parts, escape((value or "")[end:])])
    return Markup('<pre class="box">{}</pre>').format(text) if text else Markup()


def _node(node: Mapping[str, Any]) -> Markup:
    kind = str(node.get("type"))
    if kind == "text":
        return _words(node)
    before, after = map(Markup, _TAGS.get(kind, ("", "")))
    return before + Markup().join(_node(child) for child in node.get("content", ())) + after


def _words(node: Mapping[str, Any]) -> Markup:
    text = escape(str(node.get("text", "")))
    for mark in node.get("marks", ()):
        if mark["type"] == "link":
            text = _anchor(str(mark["attrs"]["href"]), text)
        elif mark["type"] in _MARKS:
            tag = _MARKS[mark["type"]]
            text = Markup("<{0}>{1}</{0}>").format(tag, text)
    return text


def _anchor(url: str, label: str) -> Markup:
    """Return a link; an address that may not be linked leaves its label."""
    if not is_web(url):
        return escape(label)
    return Markup('<a href="{}" rel="noreferrer">{}</a>').format(url, label)


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
