"""Rich text in one of Jira's two markups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_consumers.wording.notice import Block


class Markup(Protocol):
    """One of Jira's forms of rich text: wiki markup (`str`), or the Atlassian Document Format (`dict`)."""

    def render(self, blocks: Sequence[Block]) -> Any:
        """Return blocks in this form."""

    def replace(self, description: Any, section: Sequence[Block]) -> Any | None:
        """Return a description with the part between OPENING and CLOSING replaced; None when it has no such part."""

    def mentions(self, text: Any, words: str) -> bool:
        """Tell whether rich text has just these words in it, as code."""

    def size(self, text: Any) -> int:
        """Return how many characters Jira will count."""


#: Stands for what was cut off.
ELLIPSIS: Final = "…"

#: Colours of a terminal.
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

#: Characters that neither a database nor an editor takes: controls but for tab and line feed, and half characters.
_UNWANTED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Return text without colours, and with a replacement for every character that cannot be kept."""
    plain = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNWANTED.sub("\N{REPLACEMENT CHARACTER}", plain)


def cut(text: str, characters: int) -> str:
    """Return text on one line, of at most so many characters, as Jira counts them."""
    line = " ".join(text.split())
    if size(line) <= characters:
        return line
    kept = line[: characters - 1]
    while size(kept) > characters - 1:
        kept = kept[: len(kept) - max(1, (size(kept) - characters + 1) // 2)]
    return kept.rstrip() + ELLIPSIS


def size(text: str) -> int:
    """Return how many characters Jira counts: those of Java, where an emoji is two."""
    return len(text) + sum(1 for character in text if character > "\uffff")


def excerpt(text: str, characters: int) -> str:
    """Return the end of a text, whole lines of it if possible: of a traceback that is what matters."""
    text = clean(text).strip("\n")
    if len(text) <= characters:
        return text
    kept = text[-(characters - len(ELLIPSIS) - 1) :]
    _, found, rest = kept.partition("\n")
    return f"{ELLIPSIS}\n{rest if found else kept}"
