"""The tables of the page: coverage, variants, what was retried, what was slow, and who took part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus.report import html_parts as parts
from testbus.report import words
from testbus_consumers.wording import numbers

if TYPE_CHECKING:
    from testbus.report.findings import Component, Coverage, TestEnd
    from testbus.report.model import Producer, RunReport

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
        where = parts.words(words.compared(earlier))
        aside = f"compared with {where}, {earlier.started_at:%Y-%m-%d %H:%M} UTC"
    return parts.section("Coverage", parts.table(headings, rows, "Coverage by component"), aside)


def variants(report: RunReport) -> str:
    """Return what each variant came to; empty when there is only one."""
    if len(report.variants) < 2:  # noqa: PLR2004 one variant is the run itself
        return ""
    rows = []
    for variant in report.variants:
        own = {name: value for name, value in variant.labels.items() if name not in report.identity.labels}
        labels = "".join(f" {parts.tag(f'{name}={value}')}" for name, value in own.items())
        shards = f"{len(variant.shards)} of {variant.shards_total or '?'}" if variant.shards else "–"  # noqa: RUF001 a dash
        took = parts.line(numbers.seconds(variant.tests_s))
        rows.append(
            f'<tr><td class="name">{parts.line(variant.name)}{labels}</td><td>{parts.outcomes_bar(variant.counts)}</td>'
            f'<td class="num wide">{shards}</td><td class="num">{took}</td></tr>'
        )
    headings = [("Variant", ""), ("Tests", ""), ("Shards", "num wide"), ("Time", "num")]
    return parts.section("Variants", parts.table(headings, rows, "Variants"))


def retried(report: RunReport) -> str:
    """Return the tests that passed after an attempt that failed; empty without any."""
    rows = [
        f'<tr><td class="name">{_name(test)}</td><td class="said">{parts.line(test.before or "")}</td>'
        f'<td class="num">{test.attempt}</td></tr>'
        for test in report.retried[:_RETRIED]
    ]
    if not rows:
        return ""
    headings = [("Test", ""), ("Failed before with", ""), ("Attempts", "num")]
    aside = numbers.plural(len(report.retried), "test")
    if len(report.retried) > _RETRIED:
        aside += f", the first {_RETRIED} are shown"
    return parts.section("Flaky: passed only when tried again", parts.table(headings, rows, "Retried tests"), aside)


def slowest(report: RunReport) -> str:
    """Return the slowest tests; empty when no test took any time."""
    if not report.slowest:
        return ""
    longest = report.slowest[0].duration_s
    rows = [
        f'<tr><td class="name">{_name(test)}</td>'
        f'<td class="meters">{parts.meter(test.duration_s / longest, "calm")}</td>'
        f'<td class="num">{parts.line(numbers.seconds(test.duration_s))}</td></tr>'
        for test in report.slowest[:_SLOWEST]
    ]
    aside = f"all tests together took {parts.line(numbers.seconds(report.tests_s))}"
    headings = [("Test", ""), ("", "meters"), ("Time", "num")]
    return parts.section("Slowest tests", parts.table(headings, rows, "Slowest tests"), aside)


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
    return parts.section("Producers", parts.table(headings, rows, "Producers"), aside)


def _component(one: Component, found: Coverage) -> str:
    tone = "good" if one.percent >= _GREEN else "warn" if one.percent >= _RED else "bad"
    change = ""
    if found.earlier:
        direction = "up" if (one.change or 0) > 0 else "down" if (one.change or 0) < 0 else "soft"
        change = f'<td class="num {direction}">{words.change(one, found.earlier)}</td>'
    total = one is found.total
    name = "Total" if total else parts.name(one.name)
    return (
        f'<tr{" class=total" if total else ""}><td class="name">{name}</td>'
        f'<td class="num">{numbers.percent(one.percent)}</td>'
        f'<td class="meters">{parts.meter(one.percent / 100, tone)}</td>{change}'
        f'<td class="num wide">{one.covered:,} of {one.coverable:,}</td></tr>'
    )


def _producer(one: Producer) -> str:
    place = parts.link(one.build_url, words.place(one)) if one.build_url else parts.line(words.place(one))
    bad = not one.superseded and one.status not in {"finished", None}
    return (
        f'<tr{" class=gone" if one.superseded else ""}><td class="name">{place} '
        f'<span class="soft">{parts.line(one.id[:8])}</span></td>'
        f'<td>{parts.tag(words.ended(one), "bad" if bad else "")}</td><td class="num">{words.reported(one)}</td>'
        f'<td class="wide">{parts.line(one.tool)}</td><td class="wide">{parts.line(one.host)}</td></tr>'
    )


def _name(test: TestEnd) -> str:
    return f"{parts.name(test.node_id)} {parts.variant_tag(test.variant)}"
