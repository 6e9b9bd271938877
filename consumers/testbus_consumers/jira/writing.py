"""What people read in an issue: its title, its description with the table of occurrences, and comments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.jira.document import (
    CLOSING,
    OPENING,
    Block,
    Bullets,
    Heading,
    Line,
    Paragraph,
    Preformatted,
    Span,
    Table,
    linked,
)
from testbus_consumers.jira.text import clean, cut, excerpt

if TYPE_CHECKING:
    from testbus_consumers.jira.document import Markup
    from testbus_consumers.jira.known import Issue, Occurrence
    from testbus_consumers.jira.record import Cause

#: Characters of a title, and of a description, that Jira takes.
_SUMMARY_CHARS: Final = 255
_DESCRIPTION_CHARS: Final = 32_767

#: What is tried in turn until a new description fits, because escaping makes a text up to five times as long:
#: characters of the failure's text, failing tests that are named, characters of each.
_FITS: Final = ((6000, 20, 300), (3000, 20, 300), (1000, 20, 300), (0, 20, 300), (0, 20, 100), (0, 5, 100), (0, 1, 50))

#: Rows of the table to try, until the description fits.
_ROWS: Final = (10, 5, 1)

#: Characters of a name in the table.
_NAME_CHARS: Final = 100

#: Characters of a commit that are shown.
_SHORT: Final = 10


def summary(cause: Cause) -> str:
    """Return the title: what went wrong, on one line."""
    kind = cause.type.removeprefix("builtins.")
    said = ": ".join(part for part in (kind, cause.message) if part) or cause.tests[0]
    return cut(clean(said), _SUMMARY_CHARS)


def description(cause: Cause, issue: Issue, markup: Markup) -> Any:
    """Return the description of a new issue, in Jira's markup; what it tells is cut until it fits."""
    for excerpted, tests, characters in _FITS:
        text = markup.render(_description(cause, issue, excerpted, tests, characters))
        if markup.size(text) <= _DESCRIPTION_CHARS:
            break
    return text


def renewed(before: Any, issue: Issue, markup: Markup) -> Any | None:
    """Return a description with its table of occurrences brought up to date.

    None when there is nothing to change: a person has taken the table away, or left no room for it.
    """
    for rows in _ROWS:
        text = markup.replace(before, _section(issue, rows))
        if text is None or text == before:
            return None
        if markup.size(text) <= _DESCRIPTION_CHARS:
            return text
    return None


def comment(issue: Issue, run: Occurrence, markup: Markup, *, reopened: bool) -> Any:
    """Return a comment that tells of a run."""
    told = "It came back, and the issue is open again: " if reopened else "Failed again: "
    parts: list[Span] = [Span(f"{told}{_tests(run.tests)} in run "), *_run(run)]
    if run.commit:
        parts += [Span(", commit "), Span(run.commit[:_SHORT], code=True)]
    if run.branch:
        parts += [Span(f", branch {cut(run.branch, _NAME_CHARS)}")]
    return markup.render([Paragraph((*parts, Span(f". {issue.runs} runs met this so far.")))])


def _description(cause: Cause, issue: Issue, excerpted: int, tests: int, characters: int) -> list[Block]:
    said = cut(": ".join(part for part in (cause.type, cause.message) if part), _SUMMARY_CHARS) or "no message"
    blocks: list[Block] = [
        Paragraph((Span(f"{_tests(len(cause.tests))} failed with "), Span(said, code=True))),
        Heading("Failing tests"),
        Bullets(tuple((Span(cut(test, characters), code=True),) for test in cause.tests[:tests])),
    ]
    if more := len(cause.tests) - tests:
        blocks += [Paragraph((Span(f"… and {more} more"),))] if more > 0 else []
    if excerpted and cause.text:
        blocks += [Heading("Failure"), Preformatted(excerpt(cause.text, excerpted))]
    earlier = f" Before it there was {issue.previous}." if issue.previous else ""
    hint = f"Filed by testbus, once for the cause {issue.fingerprint}: the label {issue.label} stands for it.{earlier}"
    return [*blocks, *_section(issue, _ROWS[0]), Paragraph((Span(hint),))]


def _section(issue: Issue, rows: int) -> list[Block]:
    first = issue.first
    told: Line = (Span("First bad run: "), *_run(first), Span(f", {_moment(first)}"))
    if first.commit:
        told += (Span(", commit "), Span(first.commit, code=True))
    if first.branch:
        told += (Span(f", branch {cut(first.branch, _NAME_CHARS)}"),)
    counted = f"{issue.runs} runs" if issue.runs > 1 else "1 run"
    shown = issue.latest[:rows]
    latest = f", the latest {len(shown)} of them" if issue.runs > len(shown) else ""
    table = Table(("Run", "Started", "Suite", "Branch", "Commit", "Tests"), tuple(_row(run) for run in shown))
    return [
        Heading(OPENING),
        Paragraph(told),
        Paragraph((Span(f"Met in {counted}{latest}:"),)),
        table,
        Paragraph((Span(CLOSING),)),
    ]


def _row(run: Occurrence) -> tuple[Line, ...]:
    return (
        _run(run),
        (Span(_moment(run)),),
        (Span(cut(run.suite, _NAME_CHARS)),),
        (Span(cut(run.branch or "", _NAME_CHARS)),),
        (Span((run.commit or "")[:_SHORT], code=True),),
        (Span(str(run.tests)),),
    )


def _run(run: Occurrence) -> Line:
    """Return a run's id, and a link to its build."""
    build = linked("build", run.build_url)
    name = Span(clean(run.run), code=True)
    return (name, Span(" ("), build, Span(")")) if build.url else (name,)


def _moment(run: Occurrence) -> str:
    return f"{datetime.fromtimestamp(run.at, UTC):%Y-%m-%d %H:%M} UTC"


def _tests(count: int) -> str:
    return f"{count:,} test{'' if count == 1 else 's'}"
