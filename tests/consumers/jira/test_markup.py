"""What is written reads as it was meant, in wiki markup and as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers.jira import adf, wiki
from testbus_consumers.jira.document import clean, excerpt
from testbus_consumers.wording.issues import CLOSING, OPENING
from testbus_consumers.wording.notice import Bullets, Heading, Paragraph, Preformatted, Span, Table, linked
from testbus_sandbox.jira import adf as rules

if TYPE_CHECKING:
    from testbus_consumers.jira.document import Markup
    from testbus_consumers.wording.notice import Block

BLOCKS: list[Block] = [
    Heading("What *now*"),
    Paragraph((Span("see "), linked("the [build]", "https://ci/?a=[1]|2"), Span(" of "), Span("x_1|{y}", code=True))),
    Bullets(((Span("-one-"),), (Span("a_b-c \\"),))),
    Table(("A", "B"), (((Span("1|2"),), ()),)),
    Preformatted("E  {noformat}\n*x*"),
]


def section(text: str) -> list[Block]:
    """Return a part that is kept up to date."""
    return [Heading(OPENING), Paragraph((Span(text, code=True),)), Paragraph((Span(CLOSING),))]


def test_wiki_markup_escapes_what_would_be_markup() -> None:
    """Only where it would be: a dash inside a word stays as it is."""
    assert wiki.render(BLOCKS).split("\n\n") == [
        "h3. What \\*now\\*",
        "see [the \\[build\\]|https://ci/?a=%5B1%5D%7C2] of {{x_1\\|\\{y\\}}}",
        "* \\-one\\-\n* a_b-c &#92;",
        "||A||B||\n|1\\|2| |",
        "{noformat}\nE  { noformat}\n*x*\n{noformat}",
    ]


def test_a_document_is_one_that_jira_takes() -> None:
    """Valid by the sandbox's rules, and with the same words."""
    document = adf.render(BLOCKS)
    assert rules.valid(document)
    assert rules.text(document).startswith("What *now*\nsee the [build] of x_1|{y}\n-one-\na_b-c \\\nA | B\n1|2 | \n")


@pytest.mark.parametrize("markup", [wiki, adf])
def test_only_our_part_of_a_description_is_replaced(markup: Markup) -> None:
    """What people wrote before and after it stays; without our part nothing is changed."""
    above: list[Block] = [Paragraph((Span("above"),))]
    below: list[Block] = [Heading("below")]
    before = markup.render([*above, *section("old"), *below])
    after = markup.replace(before, section("new"))
    assert after == markup.render([*above, *section("new"), *below])
    assert markup.mentions(after, "new")
    assert not markup.mentions(after, "ne")
    assert not markup.mentions(after, "old")
    assert not markup.mentions(None, "new")
    for other in (None, markup.render(above), markup.render([*section("x")[:2], *below])):
        assert markup.replace(other, section("new")) is None


@pytest.mark.parametrize("url", [None, "", "javascript:alert(1)", "ftp://x"])
def test_only_web_addresses_become_links(url: str | None) -> None:
    """Anything else is just its words."""
    assert linked("x", url) == Span("x")


@pytest.mark.parametrize(
    ("given", "kept"),
    [("\x1b[1;31mred\x1b[0m", "red"), ("a\x00b\ud800", "a\ufffdb\ufffd"), ("a\r\nb\rc\td", "a\nb\nc\td")],
)
def test_text_is_cleaned(given: str, kept: str) -> None:
    """No colours, no controls, one kind of line end."""
    assert clean(given) == kept


def test_long_texts_are_cut_where_it_hurts_least() -> None:
    """At the beginning, by whole lines: what matters of a traceback is its end."""
    assert excerpt("one\ntwo\nthree\n", 11) == "…\nthree"
    assert excerpt("x" * 20, 10) == "…\n" + "x" * 8
    assert excerpt("short", 10) == "short"


def sized(markup: Any, text: str) -> int:
    """Return the size of a text in a markup."""
    return int(markup.size(markup.render([Preformatted(text)])))


def test_size_is_what_jira_counts() -> None:
    """Characters of the markup, or of the document's JSON."""
    assert sized(wiki, "abc") == len("{noformat}\nabc\n{noformat}")
    assert sized(adf, '"') > sized(adf, "x")
