"""Wiki markup, for Data Center.

https://jira.atlassian.com/secure/WikiRendererHelpAction.jspa?section=all
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.jira.document import size as characters
from testbus_consumers.wording.issues import CLOSING, OPENING
from testbus_consumers.wording.notice import Block, Bullets, Heading, Line, Paragraph, Preformatted, Span, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Characters that mean something in wiki markup: some everywhere, others only at the edge of a word.
_SPECIAL: Final = re.compile(r"[{}\[\]|]|(?<!\w)[*_^~!+?#-]|[*_^~!+?#-](?!\w)")

#: Characters of an address that would end a link.
_IN_LINKS: Final = str.maketrans({"|": "%7C", "[": "%5B", "]": "%5D"})

#: Stands for a backslash until everything else is escaped; `clean` leaves none in any text.
_BACKSLASH: Final = "\x00"


def render(blocks: Sequence[Block]) -> str:
    """Return blocks as wiki markup."""
    return "\n\n".join(_block(block) for block in blocks)


def replace(description: Any, section: Sequence[Block]) -> str | None:
    """Return a description with our part replaced; None when it has none."""
    lines = str(description or "").replace("\r\n", "\n").split("\n")
    stripped = [line.strip() for line in lines]
    first, last = _block(Heading(OPENING)), _escaped(CLOSING)
    if first not in stripped or last not in stripped[stripped.index(first) :]:
        return None
    begin = stripped.index(first)
    end = stripped.index(last, begin)
    return "\n".join([*lines[:begin], render(section), *lines[end + 1 :]])


def mentions(text: Any, words: str) -> bool:
    """Tell whether markup has these words in it, as code."""
    return _span(Span(words, code=True)) in str(text or "")


def size(text: Any) -> int:
    """Return its characters."""
    return characters(str(text))


def _block(block: Block) -> str:
    match block:
        case Heading():
            return f"h3. {_escaped(block.text)}"
        case Paragraph():
            return _line(block.line)
        case Bullets():
            return "\n".join(f"* {_line(item)}" for item in block.lines)
        case Table():
            head = "||" + "||".join(_escaped(name) for name in block.head) + "||"
            return "\n".join([head, *("|" + "|".join(_line(cell) or " " for cell in row) + "|" for row in block.rows)])
        case Preformatted():
            return f"{{noformat}}\n{block.text.replace('{noformat}', '{ noformat}')}\n{{noformat}}"


def _line(line: Line) -> str:
    return "".join(_span(span) for span in line)


def _span(span: Span) -> str:
    words = _escaped(span.text)
    if span.url:
        return f"[{words}|{span.url.translate(_IN_LINKS)}]"
    if span.code and words:
        return f"{{{{{words}}}}}"
    return f"*{words}*" if span.strong and words.strip() else words


def _escaped(words: str) -> str:
    line = _SPECIAL.sub(lambda match: f"\\{match[0]}", words.replace("\n", " ").replace("\\", _BACKSLASH))
    return line.replace(_BACKSLASH, "&#92;")
