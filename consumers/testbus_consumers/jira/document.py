"""What is written into an issue, before it takes the form of one of Jira's markups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Heading and last line of the part of a description that is kept up to date; everything else is for people.
OPENING: Final = "Occurrences (kept up to date by testbus)"
CLOSING: Final = "Write above or below: what stands between is replaced."

#: Characters of a URL that stay as they are.
_URL_SAFE: Final = ":/?#@!$&'*+,;=%-._~"


@dataclass(frozen=True)
class Span:
    """Words in one style."""

    #: The words, on one line.
    text: str
    #: Whether they are code.
    code: bool = False
    #: Where they lead; None when they are no link.
    url: str | None = None


#: Words in several styles.
Line = tuple[Span, ...]


@dataclass(frozen=True)
class Heading:
    """A heading."""

    #: Its words.
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    #: Its words.
    line: Line


@dataclass(frozen=True)
class Bullets:
    """A list."""

    #: Its items, at least one.
    items: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """A table."""

    #: Words above the columns.
    head: tuple[str, ...]
    #: Rows of cells, at least one row.
    rows: tuple[tuple[Line, ...], ...]


@dataclass(frozen=True)
class Preformatted:
    """Text in fixed width, as it is."""

    #: The text.
    text: str


#: One block of a text.
Block = Heading | Paragraph | Bullets | Table | Preformatted


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


def linked(text: str, url: str | None) -> Span:
    """Return words that lead somewhere; just the words when that is no web address."""
    if not url or urlsplit(url).scheme not in {"http", "https"}:
        return Span(text)
    return Span(text, url=quote(url, safe=_URL_SAFE))
