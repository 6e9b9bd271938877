"""The Atlassian Document Format, for Cloud.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from testbus_consumers.jira.document import size as characters
from testbus_consumers.wording.issues import CLOSING, OPENING
from testbus_consumers.wording.notice import Block, Bullets, Heading, Line, Paragraph, Preformatted, Span, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A node of a document.
Node = dict[str, Any]


def render(blocks: Sequence[Block]) -> Node:
    """Return blocks as a document."""
    return {"type": "doc", "version": 1, "content": [_block(block) for block in blocks]}


def replace(description: Any, section: Sequence[Block]) -> Node | None:
    """Return a description with our part replaced; None when it has none."""
    content = list((description or {}).get("content") or ())
    texts = [_text(node) for node in content]
    if OPENING not in texts or CLOSING not in texts[texts.index(OPENING) :]:
        return None
    begin = texts.index(OPENING)
    end = texts.index(CLOSING, begin)
    return {**description, "content": [*content[:begin], *render(section)["content"], *content[end + 1 :]]}


def mentions(text: Any, words: str) -> bool:
    """Tell whether a document has just these words in it, as code."""
    node = text or {}
    if node.get("type") == "text":
        return bool(node.get("text") == words and {"type": "code"} in node.get("marks", ()))
    return any(mentions(child, words) for child in node.get("content") or ())


def size(text: Any) -> int:
    """Return the characters of its JSON, which is at least what Jira counts."""
    return characters(json.dumps(text, ensure_ascii=False))


def _block(block: Block) -> Node:
    match block:
        case Heading():
            return {"type": "heading", "attrs": {"level": 3}, "content": _line((Span(block.text),))}
        case Paragraph():
            return _paragraph(block.line)
        case Bullets():
            items = [{"type": "listItem", "content": [_paragraph(item)]} for item in block.lines]
            return {"type": "bulletList", "content": items}
        case Table():
            head = _row("tableHeader", [(Span(name),) for name in block.head])
            return {"type": "table", "content": [head, *(_row("tableCell", row) for row in block.rows)]}
        case Preformatted():
            return {"type": "codeBlock", "attrs": {}, "content": _line((Span(block.text),))}


def _paragraph(line: Line) -> Node:
    return {"type": "paragraph", "content": _line(line)}


def _row(kind: str, cells: Sequence[Line]) -> Node:
    return {
        "type": "tableRow",
        "content": [{"type": kind, "attrs": {}, "content": [_paragraph(cell)]} for cell in cells],
    }


def _line(line: Line) -> list[Node]:
    """Return words as text nodes; an empty one is not allowed."""
    return [_words(span) for span in line if span.text]


def _words(span: Span) -> Node:
    marks: list[Node] = [{"type": "code"}] if span.code else [{"type": "strong"}] if span.strong else []
    if span.url:
        marks.append({"type": "link", "attrs": {"href": span.url}})
    return {"type": "text", "text": span.text, **({"marks": marks} if marks else {})}


def _text(node: Node) -> str:
    if node.get("type") == "text":
        return str(node.get("text", ""))
    return "".join(_text(child) for child in node.get("content") or ())
