"""What is written: safe whatever the tests are called, bounded whatever the run's size, and the same every time."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Final

import pytest

from testbus.report import as_json, html, markdown, terminal
from testbus.report.html import TESTS
from testbus_schemas import Failure
from tests.cli.report.hostile import NAME, hostile_run
from tests.cli.report.samples import REBATE, Told, broken_run, failed, passed

#: Elements that a report is made of.
ELEMENTS: Final = frozenset(
    {"html", "head", "meta", "link", "title", "style", "body", "main", "header", "h1", "h2", "h3", "p", "strong"}
    | {"span", "i", "ul", "li", "dl", "div", "dt", "dd", "time", "a", "section", "article", "details", "summary"}
    | {"code", "pre", "b", "table", "thead", "tbody", "tr", "th", "td", "footer"}
)


class Page(HTMLParser):
    """Reads a page as a browser does: elements, attributes and text."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element and its attributes."""
        self.elements.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note what is shown."""
        self.text += data


def test_no_text_from_outside_becomes_markup() -> None:
    """A page of hostile names has the elements of every page, no handler, no script, and no address but the web's."""
    markup = html.write(hostile_run().report())
    page = Page(markup)
    assert page.elements <= ELEMENTS
    assert "<b>E   tests/test_x.py::test[&lt;script&gt;" in markup
    assert "<script>alert(1)</script>" in page.text
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = [value for name, value in page.attributes if name in {"href", "src"}]
    assert links == ["data:,"]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page.text)


def test_a_page_needs_nothing_from_elsewhere() -> None:
    """No script, no import, no address to load from; the browser is told to load nothing."""
    text = html.write(broken_run().report())
    page = Page(text)
    assert "script" not in page.elements
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text
    assert {name for name, value in page.attributes if value and value.startswith("http")} == {"href"}


def test_a_big_run_makes_a_bounded_page() -> None:
    """Of thousands of failures the first are shown, and that there are more is said."""
    told = Told()
    told.producer("p1")
    long = Failure(type="Error", message="boom", text="x" * 30_000)
    for chunk in range(12):
        told.results("p1", *(failed(f"test_{chunk:02}_{number:03}", long) for number in range(100)))
    report = told.report()
    text = html.write(report)
    assert len(text) < 6_000_000
    assert len(set(re.findall(r"test_\d\d_\d{3}", text))) == TESTS
    assert "further tracebacks are left out" in text
    assert "Only the first 500 of 1,200 tests are here" in text
    assert len(markdown.write(report)) < markdown.CHARACTERS
    assert len(as_json.as_data(report)["causes"][0]["tests"]) == 1200


def test_markdown_tables_hold_whatever_tests_are_called() -> None:
    """Every row of a table has as many cells as its head, also with pipes in names."""
    text = markdown.write(hostile_run().report())
    tables = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table


def test_markdown_formats_no_text_from_outside() -> None:
    """Outside of code nothing of it is markup, and a block of code ends where it ends."""
    text = markdown.write(hostile_run().report())
    blocks = re.sub(r"^(`{4,})text\n.*?\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    outside = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", blocks)
    assert re.findall(r"(?<!\\)<[^ ]*?>", outside) == ["<details>", "<summary>", "</summary>", "</details>"]
    assert "javascript:" not in outside


def test_the_terminal_obeys_no_test() -> None:
    """Nothing of a name colours the terminal, sets its title or turns its direction."""
    text = terminal.write(hostile_run().report())
    ours = re.sub(r"\x1b\[\d+m", "", text)
    assert NAME.partition("\x1b")[0] in ours
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", ours)


def test_json_keeps_its_keys() -> None:
    """Programs read these; a key may be added, none may go."""
    data = json.loads(as_json.write(broken_run().report()))
    assert list(data) == [
        "format", "run", "project", "suite", "stage", "repository", "commit", "base", "branch", "pull_request",
        "labels", "build_url", "run_number", "status", "revision", "missing", "started_at", "started_at_claimed",
        "finished_at", "duration_s", "verdict", "headline", "evaluation", "counts", "total", "bad", "pending",
        "tests_s", "causes", "retried", "slowest", "coverage", "variants", "producers", "issues", "launches", "changes",
        "events", "absent_events",
    ]  # fmt: skip
    assert list(data["causes"][0]) == [
        "fingerprint", "type", "message", "raised_at", "new", "issues", "tests",
    ]  # fmt: skip
    assert list(data["causes"][0]["tests"][0]) == [
        "node_id", "variant", "outcome", "attempt", "duration_s", "file", "line", "before", "failures", "output",
    ]  # fmt: skip
    assert list(data["evaluation"]) == [
        "verdict", "current", "revision", "policy", "decided_at", "reasons", "rules",
    ]  # fmt: skip
    assert data["started_at"] == "2026-11-20T11:02:00Z"
    assert data["duration_s"] == 462


def test_markdown_says_verdict_why_and_what_failed() -> None:
    """In this order, with links to build and issue, and what only warned marked as such."""
    text = markdown.write(broken_run().report())
    said = "8 of 570 tests fail (2 skipped), for 3 causes; 4 of them: `KeyError: 'platinum'`"
    assert text.startswith(f"## ❌ acme-shop · unit: {said}\n\n")
    assert "](https://github.com/acme/shop/actions/runs/4711)" in text
    assert "[SHOP-17](https://jira.example.com/browse/SHOP-17)" in text
    assert "- ⚠️ duration 462 s, above 400 s" in text
    assert text.index("### Why") < text.index("### What failed: 8 tests, 3 causes") < text.index("### Coverage")


@pytest.mark.parametrize("writer", [html, markdown, as_json, terminal])
def test_a_run_of_one_green_test_is_written(writer: object) -> None:
    """The smallest run: nothing failed, nothing measured, no verdict yet."""
    told = Told(repository=None, commit=None, branch=None, pull_request=None, build_url=None, base=None, labels={})
    told.producer("p1")
    told.results("p1", passed("test_a"), failed("test_b", REBATE.model_copy(update={"text": "", "frames": ()})))
    text = writer.write(told.report())  # type: ignore[attr-defined] # each is a module with this function
    assert "test_a" in text
    assert "KeyError" in text
