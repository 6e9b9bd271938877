"""Lines of a notice as Markdown, for ReportPortal and GitHub: nothing from outside formats, links or breaks a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from testbus_consumers.wording.notice import Line, Span

#: Characters that would format what is around them.
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")


def line(words: Line) -> str:
    """Return a line as Markdown."""
    return "".join(_span(span) for span in words)


def escape(words: str) -> str:
    """Return words on one line that nothing formats, also inside of a table."""
    return _SPECIAL.sub(r"\\\1", " ".join(words.split("\n")).replace("&", "&amp;"))


def code(words: str) -> str:
    """Return words on one line as code, for use inside of a table too, where a pipe must be escaped even in code."""
    words = " ".join(words.split("\n")).replace("|", r"\|")
    if not words:
        return ""
    longest = max((len(ticks) for ticks in re.findall("`+", words)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {words} {fence}" if longest else f"`{words}`"


def link(url: str, words: str) -> str:
    """Return a link to an address that `web_address` gave."""
    # Inside of a link a number refers to nothing else.
    label = escape(words).replace("\\#", "#")
    return f"[{label}]({url.replace('(', '%28').replace(')', '%29')})"


def _span(span: Span) -> str:
    if span.url:
        return link(span.url, span.text)
    if span.code:
        return code(span.text)
    words = escape(span.text)
    return f"**{words}**" if span.strong and words.strip() else words
