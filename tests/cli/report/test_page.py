"""The page as a browser shows it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from testbus.report import html
from tests.cli.browser import rendered
from tests.cli.report.hostile import hostile_run
from tests.cli.report.samples import broken_run

if TYPE_CHECKING:
    from pathlib import Path


#: Hosts that the browser asks for its own sake, whatever the page.
MAKER: Final = ("google.com", "googleapis.com", "gvt1.com")


class Shown(HTMLParser):
    """The text that a reader sees without unfolding anything."""

    def __init__(self, document: str) -> None:
        """Read a document."""
        super().__init__()
        self.text = ""
        self._hidden: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what hides its content: the head, and a closed details element but for its summary."""
        if tag in {"head", "summary"} or (tag == "details" and "open" not in dict(attrs)):
            self._hidden.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note its end."""
        if self._hidden and self._hidden[-1] == tag:
            self._hidden.pop()

    def handle_data(self, data: str) -> None:
        """Note text that is not hidden."""
        if not self._hidden or self._hidden[-1] == "summary":
            self.text += data


def asked_for(text: str, folder: Path) -> set[str]:
    """Return the hosts that the browser asked for something, without those of its maker."""
    folder.mkdir()
    page, log = folder / "page.html", folder / "network.json"
    page.write_text(text, encoding="utf-8")
    rendered(page, folder, f"--log-net-log={log}")
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    hosts = {urlsplit(event["params"]["url"]).hostname for event in events if "url" in event.get("params", {})}
    return {host for host in hosts if host and not host.endswith(MAKER)}


@pytest.mark.parametrize("size", ["1280,900", "400,800"])
def test_verdict_reasons_and_failing_tests_are_shown_without_a_click(tmp_path: Path, size: str) -> None:
    """On a desk and on a phone, with no network at all."""
    page = tmp_path / "report.html"
    page.write_text(html.write(broken_run().report()), encoding="utf-8")
    text = Shown(rendered(page, tmp_path, f"--window-size={size}")).text
    for told in (
        "Failed",
        "8 of 572 tests did not pass",
        "pass_rate 98.96 %, below 100 %",
        "KeyError: 'platinum'",
        "tests/orders/test_rebate.py::test_rebates_add_up",
        "SHOP-17",
        "shop/basket",
        "py3.12",
    ):
        assert told in text
    assert "self.price * RATES" not in text


def test_a_page_asks_for_nothing(tmp_path: Path) -> None:
    """The browser's log of its network has no request for the page's sake; for a page with a picture it has."""
    page = html.write(broken_run().report())
    assert asked_for(page, tmp_path / "report") == set()
    policy = page.index("<meta http-equiv"), page.index('<meta name="viewport"')
    other = page[: policy[0]] + page[policy[1] :].replace("<main>", '<main><img src="http://example.com/a.png">')
    assert asked_for(other, tmp_path / "other") == {"example.com"}


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    """Nothing in a name of a test is run, and the browser finds no element that a report does not have."""
    page = tmp_path / "report.html"
    page.write_text(html.write(hostile_run().report()), encoding="utf-8")
    document = rendered(page, tmp_path)
    assert "<script" not in document
    assert "<img" not in document
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in document
