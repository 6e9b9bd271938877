"""Pieces of HTML; whatever comes from outside goes through `text` or `link`, and so can only be read."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from testbus_consumers.wording import runs
from testbus_consumers.wording import text as wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from testbus_consumers.wording.notice import Line, Span
    from testbus_schemas import Outcome

#: Which tone an outcome, a state of a rule or a state of a run has.
TONES: Final[Mapping[str, str]] = {
    "passed": "good",
    "xfailed": "good",
    "xpassed": "warn",
    "failed": "bad",
    "error": "bad",
    "timeout": "bad",
    "not_reported": "bad",
    "unknown": "bad",
    "incomplete": "warn",
    "cancelled": "calm",
    "warning": "warn",
    "skipped": "calm",
    "not_run": "calm",
    "open": "calm",
    "undecided": "calm",
}


def text(value: str) -> str:
    """Return a text from outside as HTML in which every character shows."""
    return escape(wording.visible(value))


def name(value: str) -> str:
    """Return a test's or a file's name as code, whole or a part of it that means something."""
    return f"<code>{escape(wording.name(value, 600))}</code>"


def words(line_: Line) -> str:
    """Return a line of a notice."""
    return "".join(_span(span) for span in line_)


def line(value: str, characters: int = 600) -> str:
    """Return a text from outside on one line, cut."""
    return escape(wording.one_line(value, characters))


def link(url: str | None, label: str) -> str:
    """Return a link that tells nobody where it was followed from; the plain label for what is no web address."""
    address = wording.web_address(url)
    if address is None:
        return line(label)
    return f'<a href="{escape(address)}" rel="noopener noreferrer">{line(label)}</a>'


def tag(value: str, tone: str = "") -> str:
    """Return a short fact in a frame."""
    return f'<span class="tag{f" strong {tone}" if tone else ""}">{line(value)}</span>'


def outcome_tag(outcome: Outcome) -> str:
    """Return how a test ended."""
    return tag(outcome.value.replace("_", " "), TONES[outcome.value])


def variant_tag(variant: str) -> str:
    """Return a variant; nothing for the default one."""
    return "" if variant == "default" else tag(variant)


def section(title: str, body: str, aside: str = "") -> str:
    """Return a part of the page under a heading (a text from outside is allowed in neither); empty without a body."""
    if not body:
        return ""
    return f"<section><h2>{title}{f'<span>{aside}</span>' if aside else ''}</h2>{body}</section>"


def table(headings: Sequence[tuple[str, str]], rows: Iterable[str], label: str) -> str:
    """Return a table: headings as (title, class), rows as HTML; it scrolls by itself where it is too wide."""
    heads = "".join(f'<th scope="col" class="{name}">{title}</th>' for title, name in headings)
    return (
        f'<div class="card scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def meter(share: float, tone: str) -> str:
    """Return a bar that is filled to a share from 0 to 1; it says nothing that is not beside it in words."""
    width = f"{100 * min(1.0, max(0.0, share)):.1f}%"
    return f'<div class="meter {tone}" aria-hidden="true"><i style="width:{width}"></i></div>'


def outcomes_bar(counts: Mapping[str, int]) -> str:
    """Return how many tests ended how, as a bar and in words."""
    found = [(outcome, counts[outcome.value]) for outcome in runs.OUTCOMES if counts.get(outcome.value)]
    bar = "".join(f'<i class="{TONES[one.value]}" style="flex:{count}"></i>' for one, count in found)
    told = "".join(
        f'<li class="{TONES[one.value]}">{count:,} {one.value.replace("_", " ")}</li>' for one, count in found
    )
    return f'<div class="bar" aria-hidden="true">{bar}</div><ul class="legend">{told}</ul>' if found else ""


def _span(span: Span) -> str:
    if span.url:
        return link(span.url, span.text)
    shown = escape(wording.visible(span.text))
    if span.code and shown:
        return f"<code>{shown}</code>"
    return f"<strong>{shown}</strong>" if span.strong and shown else shown
