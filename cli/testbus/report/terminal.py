"""A report for the terminal: what a person wants to know of one run, without leaving the keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from testbus.report import words
from testbus_consumers.wording import numbers, runs, text
from testbus_consumers.wording.notice import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus.report.model import CauseReport, RunReport, TestEnd

#: Causes, and tests of each, that are named.
_CAUSES, _TESTS = 20, 10

#: Retried and slowest tests that are named.
_RETRIED, _SLOWEST = 10, 5

#: Producers that are named.
_PRODUCERS: Final = 30

#: Colour of a state of a run, or of a rule.
COLOURS: Final = {"passed": "green", "failed": "red", "incomplete": "yellow", "warning": "yellow"}

_MARKS: Final = {"passed": "✓", "failed": "✗", "warning": "!", "skipped": "-"}


def write(report: RunReport) -> str:
    """Return the report as lines with colours; click leaves them out where they are not wanted."""
    sections = (_head, _why, _causes, _changes, _retried, _slowest, _coverage, _variants, _producers)
    return "\n".join(line for section in sections for line in section(report)) + "\n"


def _head(report: RunReport) -> Iterator[str]:
    state = words.state(report)
    identity = report.identity
    yield f"{click.style(state.upper(), fg=COLOURS.get(state), bold=True)}  {_plain(words.sentence(report))}"
    title = runs.title(identity.project, identity.suite, identity.stage)
    called = text.run(identity.run, identity.number) if identity.number else ""
    yield click.style(_plain(words.joined((title, called, identity.run))), bold=True)
    started = f"{report.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
    took = f"took {numbers.seconds(report.took_s)}" if report.took_s is not None else ""
    pull = f"pull request {identity.pull_request}" if identity.pull_request else ""
    yield _plain(words.joined((identity.branch, text.commit(identity.commit), pull, started, took, identity.build_url)))
    for notice in filter(None, (words.absent(report), words.wrong_clock(report))):
        yield click.style(notice, fg="yellow")


def _why(report: RunReport) -> Iterator[str]:
    judgement = report.judgement
    if judgement is not None and not judgement.current:
        yield click.style(f"  ! the verdict before, {judgement.verdict}, no longer holds", fg="yellow")
    holding = judgement if report.verdict else None
    for reason in holding.missing if holding else report.missing:
        yield f"  {click.style('!', fg='yellow')} {_plain(reason, 1000)}"
    for rule, state in words.rules(holding.rules) if holding else ():
        yield f"  {click.style(_MARKS[state], fg=COLOURS.get(state))} {_plain(rule.message, 1000)}"


def _causes(report: RunReport) -> Iterator[str]:
    if report.causes:
        yield from _title("What failed")
    for cause in report.causes[:_CAUSES]:
        yield from _cause(cause)
    if (more := len(report.causes) - _CAUSES) > 0:
        yield f"  … and {numbers.plural(more, 'more cause')}"


def _cause(cause: CauseReport) -> Iterator[str]:
    how_many = numbers.plural(len(cause.tests), "test")
    yield f"  {click.style(_plain(words.failure_text(cause)), fg='red')}  ({how_many}{', new' if cause.new else ''})"
    for issue in cause.issues:
        yield f"    {_plain(words.joined((issue.key, issue.status, issue.title, issue.url)))}"
    for test in cause.tests[:_TESTS]:
        yield f"    {test.outcome.value.replace('_', ' ')}: {_named(test)}"
    if (more := len(cause.tests) - _TESTS) > 0:
        yield f"    … and {numbers.plural(more, 'more test')}"


def _changes(report: RunReport) -> Iterator[str]:
    if report.changes:
        yield from _title("Compared with earlier runs")
    for change in report.changes[:_CAUSES]:
        mark = click.style("↓", fg="red") if change.worse else click.style("↑", fg="green")
        yield f"  {mark} {_plain(change.message, 1000)}"
    if (more := len(report.changes) - _CAUSES) > 0:
        yield f"  … and {numbers.plural(more, 'more change')}"


def _retried(report: RunReport) -> Iterator[str]:
    if report.retried:
        yield from _title("Flaky: passed only when tried again", numbers.plural(len(report.retried), "test"))
    for test in report.retried[:_RETRIED]:
        yield f"  {_named(test)}  {click.style(_plain(test.before or ''), dim=True)}"
    if (more := len(report.retried) - _RETRIED) > 0:
        yield f"  … and {numbers.plural(more, 'more test')}"


def _slowest(report: RunReport) -> Iterator[str]:
    if report.slowest:
        yield from _title("Slowest tests", f"of {numbers.seconds(report.tests_s)} in all")
    for test in report.slowest[:_SLOWEST]:
        yield f"  {numbers.seconds(test.duration_s):>11}  {_named(test)}"


def _coverage(report: RunReport) -> Iterator[str]:
    found = report.coverage
    if found is None:
        return
    aside = ""
    if found.earlier is not None:
        aside = f"compared with {_plain(plain(words.compared(found.earlier)))}"
    yield from _title("Coverage", aside)
    width = max(len(one.name) for one in (*found.components, found.total))
    for one in (*found.components, found.total):
        change = words.change(one, found.earlier)
        line = f"  {_plain(one.name):{width}}  {numbers.percent(one.percent):>7}  {change:>7}".rstrip()
        yield click.style(line, bold=True) if one is found.total else line


def _variants(report: RunReport) -> Iterator[str]:
    if len(report.variants) < 2:  # noqa: PLR2004 one variant is the run itself
        return
    yield from _title("Variants")
    for one in report.variants:
        shards = f"  {len(one.shards)} of {one.shards_total or '?'} shards" if one.shards else ""
        yield f"  {_plain(one.name)}: {runs.counted(one.counts)}  {numbers.seconds(one.tests_s)}{shards}"


def _producers(report: RunReport) -> Iterator[str]:
    yield from _title("Producers")
    for one in report.producers[:_PRODUCERS]:
        facts = words.joined((words.place(one), words.ended(one), words.reported(one), one.tool, one.host))
        yield f"  {_plain(one.id[:8])}  {_plain(facts)}"
    if (more := len(report.producers) - _PRODUCERS) > 0:
        yield f"  … and {numbers.plural(more, 'more producer')}"


def _title(title: str, aside: str = "") -> Iterator[str]:
    yield ""
    yield click.style(title, bold=True) + (f"  {aside}" if aside else "")


def _named(test: TestEnd) -> str:
    variant = f" ({text.name(test.variant)})" if test.variant != "default" else ""
    attempt = f", attempt {test.attempt}" if test.attempt > 1 else ""
    return f"{text.name(test.node_id)}{variant}{attempt}"


def _plain(words: str, characters: int = text.NAME_CHARS) -> str:
    """Return a text from outside on one line, with nothing in it that a terminal would obey."""
    return text.one_line(words, characters)
