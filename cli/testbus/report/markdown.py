"""A report as Markdown (GitHub's), short enough for a comment on a pull request or a job's summary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from testbus.report import words
from testbus_consumers.wording import issues, numbers, runs, text
from testbus_consumers.wording import markdown as markup
from testbus_consumers.wording.notice import linked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from testbus.report.model import CauseReport, RunReport, TestEnd

#: Characters of the whole: a comment on GitHub takes 65,536.
CHARACTERS: Final = 60_000

#: Causes, and tests of each, that are named.
_CAUSES, _TESTS = 20, 10

#: Characters of the failure text that each cause shows.
_TEXT_CHARS: Final = 1500

#: Slowest tests that are named.
_SLOWEST: Final = 5

#: What stands for how a rule ended.
_MARKS: Final = {"passed": "✅", "failed": "❌", "warning": "⚠️", "skipped": "⏭️"}


def write(report: RunReport) -> str:
    """Return the report as Markdown; what does not fit is left out, and said so."""
    sections = [
        _head(report),
        _why(report),
        *_causes(report),
        _changes(report),
        _retried(report),
        _coverage(report),
        _variants(report),
        _slowest(report),
    ]
    kept: list[str] = []
    left = CHARACTERS
    for section in filter(None, sections):
        left -= len(section) + 2
        if left < 0:
            kept.append("… more does not fit here: `testbus report --format html` shows all.")
            break
        kept.append(section)
    return "\n\n".join(kept) + "\n"


def escape(words: str) -> str:
    """Return a text on one line that nothing formats, also inside of a table."""
    return markup.escape(text.one_line(words, 1000))


def code(words: str) -> str:
    """Return a name or a message on one line as code, for use inside of a table too."""
    return markup.code(text.name(words))


def block(words: str, characters: int = _TEXT_CHARS) -> str:
    """Return a text as a block of code; of a long one the end, where the error stands."""
    shown = text.visible(words).strip("\n")
    if len(shown) > characters:
        shown = "…\n" + shown[-characters:].partition("\n")[2]
    longest = max((len(ticks) for ticks in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def link(url: str | None, label: str) -> str:
    """Return a link; the plain label for what is no web address."""
    return markup.line((linked(text.name(label), url),))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Return a table of cells that are Markdown already; the last `numbers` columns are set to the right."""
    rules = ["---"] * (len(headings) - numbers) + ["--:"] * numbers
    lines = [headings, rules, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _head(report: RunReport) -> str:
    state = words.state(report)
    identity = report.identity
    title = runs.title(identity.project, identity.suite, identity.stage)
    how = "" if state in {"passed", "failed"} else f"{state}: "
    facts = [
        markup.line((words.run_span(identity),)),
        *(markup.line((launch,)) for launch in runs.launches(report.launches)),
        f"branch {code(identity.branch)}" if identity.branch else "",
        f"commit {code(text.commit(identity.commit))}" if identity.commit else "",
        f"pull request {escape(identity.pull_request)}" if identity.pull_request else "",
        f"{report.started_at:%Y-%m-%d %H:%M} UTC",
        f"took {escape(numbers.seconds(report.took_s))}" if report.took_s is not None else "",
        code(issues.show(identity.run)),
    ]
    return "\n\n".join(
        filter(
            None,
            (
                f"## {runs.TONES[state][1]} {escape(title)}: {how}{markup.line(words.heading(report))}",
                words.joined(facts),
                f"> ⚠️ {words.absent(report)}" if report.absent else "",
                f"> ⚠️ {words.wrong_clock(report)}" if report.clock_claimed else "",
            ),
        )
    )


def _why(report: RunReport) -> str:
    judgement = report.judgement if report.verdict else None
    missing = judgement.missing if judgement else report.missing
    lines = [f"- ⚠️ {escape(reason)}" for reason in missing]
    for rule, state in words.rules(judgement.rules) if judgement else ():
        lines.append(f"- {_MARKS[state]} {escape(rule.message)}")
    return "### Why\n\n" + "\n".join(lines) if lines else ""


def _causes(report: RunReport) -> list[str]:
    if not report.causes:
        return []
    title = f"### What failed: {numbers.plural(report.bad, 'test')}, {numbers.plural(len(report.causes), 'cause')}"
    parts = [title, *(_cause(cause) for cause in report.causes[:_CAUSES])]
    more = len(report.causes) - _CAUSES
    return [*parts, f"… and {numbers.plural(more, 'more cause')}."] if more > 0 else parts


def _cause(cause: CauseReport) -> str:
    new = " · new" if cause.new else ""
    linked_issues = "".join(f" · {link(issue.url, issue.key)}" for issue in cause.issues)
    failure_text = markup.code(words.failure_text(cause)) if cause.fingerprint else escape(words.failure_text(cause))
    first = f"**{numbers.plural(len(cause.tests), 'test')}**{new}{linked_issues} · {failure_text}"
    named = [f"- {_named(test)}" for test in cause.tests[:_TESTS]]
    if len(cause.tests) > _TESTS:
        named.append(f"- … and {numbers.plural(len(cause.tests) - _TESTS, 'more test')}")
    texts = [failure.text or failure.message for failure in cause.tests[0].failures]
    shown = block("\n\n".join(texts)) if any(texts) else ""
    details = f"<details><summary>Traceback of the first</summary>\n\n{shown}\n\n</details>" if shown else ""
    return "\n\n".join(filter(None, (first, "\n".join(named), details)))


def _named(test: TestEnd) -> str:
    variant = f" ({escape(test.variant)})" if test.variant != "default" else ""
    attempts = f", attempt {test.attempt}" if test.attempt > 1 else ""
    return f"{code(test.node_id)}{variant}{attempts}"


def _changes(report: RunReport) -> str:
    lines = [f"- {'🔻' if change.worse else '✅'} {markup.line(change.line)}" for change in report.changes[:_CAUSES]]
    if (more := len(report.changes) - _CAUSES) > 0:
        lines.append(f"- … and {numbers.plural(more, 'more change')}")
    return "### Compared with earlier runs\n\n" + "\n".join(lines) if lines else ""


def _retried(report: RunReport) -> str:
    if not report.retried:
        return ""
    rows = [(_named(test), code(test.before or "")) for test in report.retried[:_TESTS]]
    more = (
        f"\n\n… and {numbers.plural(len(report.retried) - _TESTS, 'more test')}."
        if len(report.retried) > _TESTS
        else ""
    )
    return "### Flaky: passed only when tried again\n\n" + table(("Test", "Failed before with"), rows) + more


def _coverage(report: RunReport) -> str:
    coverage = report.coverage
    if coverage is None:
        return ""
    rows = [
        (
            f"**{escape(component.name)}**" if component is coverage.total else code(component.name),
            numbers.percent(component.percent),
            *([words.change(component, coverage.earlier)] if coverage.earlier else []),
            f"{component.covered:,} of {component.coverable:,}",
        )
        for component in (*coverage.components, coverage.total)
    ]
    change = ["Change"] if coverage.earlier else []
    headings = ("Component", "Coverage", *change, "Lines and branches")
    earlier = coverage.earlier
    compared = f"\n\nCompared with {markup.line(words.compared(earlier))}" if earlier else ""
    return "### Coverage\n\n" + table(headings, rows, len(headings) - 1) + compared


def _variants(report: RunReport) -> str:
    if len(report.variants) < 2:  # noqa: PLR2004 one variant is the run itself
        return ""
    rows = [
        (escape(variant.name), escape(runs.counted(variant.counts)), escape(numbers.seconds(variant.tests_s)))
        for variant in report.variants
    ]
    return "### Variants\n\n" + table(("Variant", "Tests", "Time"), rows, 1)


def _slowest(report: RunReport) -> str:
    rows = [(_named(test), escape(numbers.seconds(test.duration_s))) for test in report.slowest[:_SLOWEST]]
    return "### Slowest tests\n\n" + table(("Test", "Time"), rows, 1) if rows else ""
