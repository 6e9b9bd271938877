"""Atlassian Document Format: what API 3 demands of rich text, and how it reads.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Which nodes may stand in which; an empty set holds no content, and text is a leaf.
_BLOCKS: Final = frozenset(
    {"paragraph", "heading", "bulletList", "orderedList", "codeBlock", "table", "rule", "panel", "blockquote", "expand"}
)
_INLINE: Final = frozenset({"text", "hardBreak", "inlineCard", "mention", "emoji"})
_CHILDREN: Final[Mapping[str, frozenset[str]]] = {
    "doc": _BLOCKS,
    "paragraph": _INLINE,
    "heading": _INLINE,
    "codeBlock": frozenset({"text"}),
    "bulletList": frozenset({"listItem"}),
    "orderedList": frozenset({"listItem"}),
    "listItem": frozenset({"paragraph", "bulletList", "orderedList", "codeBlock"}),
    "table": frozenset({"tableRow"}),
    "tableRow": frozenset({"tableCell", "tableHeader"}),
    "tableCell": _BLOCKS - {"table"},
    "tableHeader": _BLOCKS - {"table"},
    "panel": frozenset({"paragraph", "heading", "bulletList", "orderedList"}),
    "blockquote": frozenset({"paragraph", "bulletList", "orderedList", "codeBlock"}),
    "expand": _BLOCKS,
}

#: Nodes that must have content.
_FILLED: Final = frozenset({"bulletList", "orderedList", "listItem", "table", "tableRow", "tableCell", "tableHeader"})

#: Marks that a text may have.
_MARKS: Final = frozenset({"strong", "em", "code", "link", "strike", "underline", "subsup", "textColor"})

#: Nodes after which a line ends.
_LINES: Final = frozenset({"paragraph", "heading", "codeBlock", "rule", "hardBreak"})


def valid(document: object) -> bool:
    """Tell whether something is a document of version 1 that an editor would take."""
    if not isinstance(document, Mapping) or document.get("type") != "doc" or document.get("version") != 1:
        return False
    return isinstance(document.get("content"), list) and _valid(document)


def text(rich: str | Mapping[str, Any] | None) -> str:
    """Return a document's words, a line for each of its blocks and table rows; markup as it is."""
    if rich is None or isinstance(rich, str):
        return rich or ""
    return _text(rich).rstrip("\n")


def document(markup: str) -> dict[str, Any]:
    """Return markup as a document: a paragraph for each line, as API 3 shows what API 2 wrote."""
    lines = [[{"type": "text", "text": line}] if line else [] for line in markup.splitlines()]
    return {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": line} for line in lines]}


def _valid(node: Mapping[str, Any]) -> bool:
    kind = str(node.get("type"))
    if kind == "text":
        return isinstance(node.get("text"), str) and bool(node["text"]) and _valid_marks(node.get("marks", []))
    if kind == "heading" and node.get("attrs", {}).get("level") not in range(1, 7):
        return False
    content = node.get("content", [])
    if not isinstance(content, list) or (kind in _FILLED and not content):
        return False
    allowed = _CHILDREN.get(kind, frozenset())
    return all(isinstance(child, Mapping) and child.get("type") in allowed and _valid(child) for child in content)


def _valid_marks(marks: object) -> bool:
    if not isinstance(marks, list):
        return False
    kinds = [mark.get("type") if isinstance(mark, Mapping) else None for mark in marks]
    # An editor refuses code together with anything but a link.
    fits = "code" not in kinds or set(kinds) <= {"code", "link"}
    linked = all(isinstance(mark.get("attrs", {}).get("href"), str) for mark in marks if mark.get("type") == "link")
    return set(kinds) <= _MARKS and fits and linked


def _text(node: Mapping[str, Any]) -> str:
    if node.get("type") == "text":
        return str(node["text"])
    if node.get("type") == "tableRow":
        return " | ".join(_text(cell).strip("\n") for cell in node.get("content", ())) + "\n"
    inner = "".join(_text(child) for child in node.get("content", ()))
    return inner + ("\n" if node.get("type") in _LINES else "")
