"""A notice as Slack takes it: Block Kit, in which nothing from outside is a mention, a link or a format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.wording import text
from testbus_consumers.wording.notice import Bullets, Heading, Notice, Paragraph, Preformatted, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbus_consumers.wording.notice import Block, Line, Span

#: Characters that one text of a block may have, and of the text that a notification shows.
_BLOCK_CHARS, _NOTIFIED = 3000, 1000

#: Characters of a URL that is made a link: two of them fit into one block.
_URL_CHARS: Final = 1200


@dataclass(frozen=True, kw_only=True)
class SlackMessage:
    """A message, ready to be posted."""

    #: What a notification shows, and what is read aloud.
    text: str
    #: Block Kit blocks.
    blocks: list[dict[str, Any]]


def render(notice: Notice) -> SlackMessage:
    """Return a notice as a message."""
    first = f"{notice.sign} {_line(notice.headline)}"
    blocks = [_section(_fitted([first], _BLOCK_CHARS))]
    blocks += [_section(body) for body in (_block(block) for block in notice.body) if body]
    if place := _dotted(notice.facts):
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": place}]})
    return SlackMessage(text=_fitted([first], _NOTIFIED), blocks=blocks)


def escape(words: str) -> str:
    """Return words without Slack's control characters: no mention and no link can hide in them."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _block(block: Block) -> str:
    match block:
        case Bullets():
            return _bullets(block)
        case Paragraph():
            return _fitted([_line(block.line)], _BLOCK_CHARS)
        case Heading():
            return f"*{escape(block.text)}*"
        case Preformatted():
            return _fitted([escape(block.text)], _BLOCK_CHARS)
        case Table():
            return _fitted([" · ".join(map(_line, row)) for row in block.rows], _BLOCK_CHARS)


def _bullets(block: Bullets) -> str:
    """Return as many items as there is room for, and how many things are left out."""
    lines = [f"• {_line(item)}" for item in block.items]
    for shown in range(len(lines), -1, -1):
        rest = block.rest(shown)
        body = "\n".join([*lines[:shown], *([rest] if rest else [])])
        if len(body) <= _BLOCK_CHARS:
            return body
    return ""


def _line(line: Line) -> str:
    return "".join(_span(span) for span in line)


def _span(span: Span) -> str:
    words = escape(" ".join(span.text.split("\n")))
    if span.url and len(escape(span.url)) <= _URL_CHARS:
        return f"<{escape(span.url)}|{words.replace('|', '¦')}>"
    if span.code and words:
        return f"`{words.replace('`', chr(39))}`"
    return f"*{words.replace('*', '')}*" if span.strong and words.strip() else words


def _dotted(facts: Sequence[Line]) -> str:
    """Return facts on one line: as many as fit."""
    return _fitted_parts((_line(fact) for fact in facts), " · ")


def _fitted_parts(parts: Iterator[str], separator: str) -> str:
    kept: list[str] = []
    for part in parts:
        if len(separator.join([*kept, part])) <= _BLOCK_CHARS:
            kept.append(part)
    return separator.join(kept)


def _fitted(lines: Sequence[str], characters: int) -> str:
    """Return as many of the lines, which are escaped already, as fit; an ellipsis stands for the rest."""
    kept: list[str] = []
    left = characters - len(text.ELLIPSIS) - 1
    for line in lines:
        left -= len(line) + 1
        if left < 0:
            return "\n".join([*kept, text.ELLIPSIS])
        kept.append(line)
    return "\n".join(kept)


def _section(words: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": words}}
