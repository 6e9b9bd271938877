"""What is reported to a person, as data: every channel renders it in its own markup, and escapes what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from testbus_consumers.wording import text
from testbus_consumers.wording.numbers import plural


class Tone(StrEnum):
    """How a person should take it."""

    #: All is well.
    GOOD = "good"
    #: Somebody has to act.
    BAD = "bad"
    #: Not good, and not known to be bad.
    WARN = "warn"
    #: For information.
    CALM = "calm"


@dataclass(frozen=True)
class Span:
    """Words in one style."""

    #: The words, on one line.
    text: str
    #: Whether they are code: a name or a message, as it is.
    code: bool = False
    #: Where they lead; None when they are no link.
    url: str | None = None
    #: Whether they stand out.
    strong: bool = False


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
    #: How many things each item stands for; empty: one.
    weights: tuple[int, ...] = ()
    #: Things that are not in the list.
    left_out: int = 0
    #: What the things are called, one of them.
    noun: str = "test"

    @property
    def lines(self) -> tuple[Line, ...]:
        """Return the items, and as the last one what is left out."""
        rest = self.rest(len(self.items))
        return (*self.items, (Span(rest),)) if rest else self.items

    def rest(self, shown: int) -> str:
        """Return what to say of the things that are not among so many items; empty when there are none."""
        weights = self.weights or (1,) * len(self.items)
        more = self.left_out + sum(weights[shown:])
        return f"{text.ELLIPSIS} and {plural(more, f'more {self.noun}')}" if more > 0 else ""


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

    text: str


#: One block of a text.
Block = Heading | Paragraph | Bullets | Table | Preformatted


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One message."""

    #: How to take it.
    tone: Tone
    #: One character that says so.
    sign: str
    #: What happened and how bad it is: all that a notification shows.
    headline: Line
    #: Why, and what is affected.
    body: tuple[Block, ...] = ()
    #: Where to look: links and short facts.
    facts: tuple[Line, ...] = ()


def code(words: str) -> Span:
    """Return words as code."""
    return Span(words, code=True)


def strong(words: str) -> Span:
    """Return words that stand out."""
    return Span(words, strong=True)


def linked(words: str, url: str | None) -> Span:
    """Return words that lead somewhere; just the words when that is no web address."""
    return Span(words, url=text.web_address(url))


def plain(line: Line) -> str:
    """Return the words alone."""
    return "".join(span.text for span in line)
