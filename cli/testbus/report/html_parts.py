"""Pieces of HTML; whatever comes from outside goes through `text` or `link`, and so can only be read."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from testbus.report import words
from testbus_consumers.wording import numbers, runs
from testbus_consumers.wording import text as wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from testbus.report.model import Component, Coverage, Producer, RunReport, TestEnd
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


def rendered(line_: Line) -> str:
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


#: Coverage in percent from which a bar is green, and below which it is red.
_GREEN, _RED = 80.0, 50.0

#: Retried tests that are named.
_RETRIED: Final = 50

#: Slowest tests that are named.
_SLOWEST: Final = 10

#: Producers that are named.
_PRODUCERS: Final = 200


def coverage(report: RunReport) -> str:
    """Return coverage by component; empty when nothing measured."""
    found = report.coverage
    if found is None:
        return ""
    headings = [("Component", ""), ("Coverage", "num"), ("", "meters")]
    headings += [("Change", "num")] if found.earlier else []
    headings += [("Covered", "num wide")]
    rows = [_component(one, found) for one in (*found.components, found.total)]
    earlier = found.earlier
    aside = ""
    if earlier is not None:
        where = rendered(words.compared(earlier))
        aside = f"compared with {where}, {earlier.started_at:%Y-%m-%d %H:%M} UTC"
    return section("Coverage", table(headings, rows, "Coverage by component"), aside)


def variants(report: RunReport) -> str:
    """Return what each variant came to; empty when there is only one."""
    if len(report.variants) < 2:  # noqa: PLR2004 one variant is the run itself
        return ""
    rows = []
    for variant in report.variants:
        own = {name: value for name, value in variant.labels.items() if name not in report.identity.labels}
        labels = "".join(f" {tag(f'{name}={value}')}" for name, value in own.items())
        shards = f"{len(variant.shards)} of {variant.shards_total or '?'}" if variant.shards else "–"  # noqa: RUF001 a dash
        took = line(numbers.seconds(variant.tests_s))
        rows.append(
            f'<tr><td class="name">{line(variant.name)}{labels}</td><td>{outcomes_bar(variant.counts)}</td>'
            f'<td class="num wide">{shards}</td><td class="num">{took}</td></tr>'
        )
    headings = [("Variant", ""), ("Tests", ""), ("Shards", "num wide"), ("Time", "num")]
    return section("Variants", table(headings, rows, "Variants"))


def retried(report: RunReport) -> str:
    """Return the tests that passed after an attempt that failed; empty without any."""
    rows = [
        f'<tr><td class="name">{_name(test)}</td><td class="said">{line(test.before or "")}</td>'
        f'<td class="num">{test.attempt}</td></tr>'
        for test in report.retried[:_RETRIED]
    ]
    if not rows:
        return ""
    headings = [("Test", ""), ("Failed before with", ""), ("Attempts", "num")]
    aside = numbers.plural(len(report.retried), "test")
    if len(report.retried) > _RETRIED:
        aside += f", the first {_RETRIED} are shown"
    return section("Flaky: passed only when tried again", table(headings, rows, "Retried tests"), aside)


def slowest(report: RunReport) -> str:
    """Return the slowest tests; empty when no test took any time."""
    if not report.slowest:
        return ""
    longest = report.slowest[0].duration_s
    rows = [
        f'<tr><td class="name">{_name(test)}</td>'
        f'<td class="meters">{meter(test.duration_s / longest, "calm")}</td>'
        f'<td class="num">{line(numbers.seconds(test.duration_s))}</td></tr>'
        for test in report.slowest[:_SLOWEST]
    ]
    aside = f"all tests together took {line(numbers.seconds(report.tests_s))}"
    headings = [("Test", ""), ("", "meters"), ("Time", "num")]
    return section("Slowest tests", table(headings, rows, "Slowest tests"), aside)


def producers(report: RunReport) -> str:
    """Return who published for the run."""
    shown = report.producers[:_PRODUCERS]
    rows = [_producer(one) for one in shown]
    if not rows:
        return ""
    headings = [("Where", ""), ("Ended", ""), ("Results", "num"), ("Tool", "wide"), ("Machine", "wide")]
    aside = f"{len(report.producers):,}"
    if len(report.producers) > len(shown):
        aside += f", the first {len(shown)} are shown"
    return section("Producers", table(headings, rows, "Producers"), aside)


def _component(one: Component, found: Coverage) -> str:
    tone = "good" if one.percent >= _GREEN else "warn" if one.percent >= _RED else "bad"
    change = ""
    if found.earlier:
        direction = "up" if (one.change or 0) > 0 else "down" if (one.change or 0) < 0 else "soft"
        change = f'<td class="num {direction}">{words.change(one, found.earlier)}</td>'
    total = one is found.total
    label = "Total" if total else name(one.name)
    return (
        f'<tr{" class=total" if total else ""}><td class="name">{label}</td>'
        f'<td class="num">{numbers.percent(one.percent)}</td>'
        f'<td class="meters">{meter(one.percent / 100, tone)}</td>{change}'
        f'<td class="num wide">{one.covered:,} of {one.coverable:,}</td></tr>'
    )


def _producer(one: Producer) -> str:
    place = link(one.build_url, words.place(one)) if one.build_url else line(words.place(one))
    bad = not one.superseded and one.status not in {"finished", None}
    return (
        f'<tr{" class=gone" if one.superseded else ""}><td class="name">{place} '
        f'<span class="soft">{line(one.id[:8])}</span></td>'
        f'<td>{tag(words.ended(one), "bad" if bad else "")}</td><td class="num">{words.reported(one)}</td>'
        f'<td class="wide">{line(one.tool)}</td><td class="wide">{line(one.host)}</td></tr>'
    )


def _name(test: TestEnd) -> str:
    return f"{name(test.node_id)} {variant_tag(test.variant)}"
