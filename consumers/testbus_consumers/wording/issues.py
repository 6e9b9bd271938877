"""What is reported of an issue, and what is written into it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from testbus_consumers.wording import numbers, runs, text
from testbus_consumers.wording.notice import (
    Block,
    Bullets,
    Heading,
    Line,
    Notice,
    Paragraph,
    Preformatted,
    Span,
    Table,
    Tone,
    code,
    linked,
)
from testbus_schemas import IssueAction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_consumers.wording.runs import Launch
    from testbus_schemas import IssueLinked

#: Characters of a title.
SUMMARY_CHARS: Final = 255

#: Heading and last line of the part of a description that is kept up to date; everything else is for people.
OPENING: Final = "Occurrences (kept up to date by testbus)"
CLOSING: Final = "Write above or below: what stands between is replaced."

#: Failing tests that a description names.
_TESTS: Final = 20

#: Characters that the message of an exception keeps in a title beside a long module.
_LEAST_SAID: Final = 80


@dataclass(frozen=True, kw_only=True)
class SeenRun:
    """A run that met a cause, as an issue shows it."""

    #: Run id.
    run: str
    #: Number that its CI gave it; None without one.
    number: str | None
    #: Address of the CI's page; None when there is none.
    build_url: str | None
    launches: Sequence[Launch]
    #: When it started, seconds since the epoch.
    at: float
    #: Project and suite.
    suite: str
    #: Branch; None when it is not known.
    branch: str | None
    #: Full commit id; None when it is not known.
    commit: str | None
    #: How many tests failed for the cause.
    tests: int


@dataclass(frozen=True, kw_only=True)
class IssueHistory:
    """Every run that met a cause."""

    #: How many there are.
    runs: int
    #: The one that started first.
    first: SeenRun
    #: Those that started last, the newest first.
    latest: Sequence[SeenRun]


def linked_issue(data: IssueLinked, *, alone: bool = False) -> Notice:
    """Return the message of an issue that stands for what failed; `alone`: without the run's own message above it."""
    tests = data.total or len(data.node_ids)
    if data.action is IssueAction.CREATED:
        how = f" was created for {numbers.plural(tests, 'test')}" if tests else " was created"
    else:
        how = f" stands for {numbers.plural(tests, 'test')} of this run, too" if tests else " stands for this run, too"
    title = f": {text.one_line(data.title, SUMMARY_CHARS)}" if data.title else ""
    of = (runs.subject(data.context), Span(": ")) if alone else ()
    status = ((Span(text.one_line(data.status)),),) if data.status else ()
    where = runs.facts(data.context, runs.Whereabouts()) if alone else ()
    return Notice(
        tone=Tone.CALM,
        sign="🎫",
        headline=(*of, runs.issue_span(data), Span(f"{how}{title}")),
        facts=(*status, *where),
    )


def summary(project: str, kind: str, message: str, tests: Sequence[str]) -> str:
    """Return an issue's title: project, module and what went wrong, on one line."""
    module = text.module(tests)
    where = " · ".join(part for part in (project, module) if part)
    room = max(_LEAST_SAID, SUMMARY_CHARS - len(where) - 2)
    failure_text = text.failure_text(kind, message, room)
    if not failure_text:
        name = tests[0].rpartition("::")[2] if len(tests) == 1 else numbers.plural(len(tests), "test")
        failure_text = f"{name} failed without a message"
    return text.one_line(f"{where}: {failure_text}", SUMMARY_CHARS)


def description(kind: str, message: str, tests: Sequence[str], excerpt: str, *, named: int = _TESTS) -> list[Block]:
    """Return a new issue's description up to its table of runs, which alone says since when: an earlier one may come.

    `excerpt` is what is shown of the failure's text, `named` how many failing tests are.
    """
    verb = "fails" if len(tests) == 1 else "fail"
    failure_text = code(text.failure_text(kind, message, SUMMARY_CHARS) or "no message")
    blocks: list[Block] = [
        Paragraph((Span(f"{numbers.plural(len(tests), 'test')} {verb}: "), failure_text)),
        Heading("Failing tests"),
        Bullets(tuple((code(text.name(test)),) for test in tests[:named]), left_out=max(0, len(tests) - named)),
    ]
    return [*blocks, Heading("Failure"), Preformatted(excerpt)] if excerpt else blocks


def occurrences(history: IssueHistory, rows: int) -> list[Block]:
    """Return the part that is kept up to date: the first run, and a table of at most so many of the latest."""
    first, shown = history.first, history.latest[:rows]
    line: Line = (Span("First failing run: "), *_called(first), Span(f", {_moment(first)}"), *_place(first))
    latest = f", the latest {len(shown)} of them" if history.runs > len(shown) else ""
    has_launches = any(run.launches for run in shown)
    head = ("Run", "Started", "Suite", "Branch", "Commit", "Tests", *(("Launch",) if has_launches else ()))
    return [
        Heading(OPENING),
        Paragraph(line),
        Paragraph((Span(f"Seen in {numbers.plural(history.runs, 'run')}{latest}:"),)),
        Table(head, tuple(_row(run, has_launches=has_launches) for run in shown)),
        Paragraph((Span(CLOSING),)),
    ]


def hint(label: str, filed_run: str, previous: str | None) -> Paragraph:
    """Return the last words of a description: what it is, and how to see more."""
    earlier = f" Before it there was {previous}." if previous else ""
    return Paragraph(
        (
            Span("Filed by testbus, once for this cause: the label "),
            code(label),
            Span(" stands for it. "),
            code(show(filed_run)),
            Span(f" shows the run that it was filed for.{earlier}"),
        )
    )


def comment(run: SeenRun, seen_in: int, *, reopened: bool) -> Paragraph:
    """Return a comment that tells of a run."""
    line = "It came back, and the issue is open again: " if reopened else "Failed again: "
    return Paragraph(
        (
            Span(f"{line}{numbers.plural(run.tests, 'test')} in "),
            *_called(run),
            *_place(run),
            Span(f". Seen in {numbers.plural(seen_in, 'run')} so far; "),
            code(show(run.run)),
            Span(" shows this one."),
        )
    )


def show(run: str) -> str:
    """Return the command that shows a run; also what tells which run a text is about."""
    return f"testbus show {shlex.quote(' '.join(text.visible(run).split()))}"


def _row(run: SeenRun, *, has_launches: bool) -> tuple[Line, ...]:
    return (
        (_run(run),),
        (Span(_moment(run)),),
        (Span(text.name(run.suite)),),
        (Span(text.name(run.branch or "")),),
        (code(text.commit(run.commit)),),
        (Span(f"{run.tests:,}"),),
        *((_joined(runs.launches(run.launches)),) if has_launches else ()),
    )


def _called(run: SeenRun) -> Line:
    return _joined((_run(run), *runs.launches(run.launches)))


def _joined(spans: Sequence[Span]) -> Line:
    return tuple(part for index, span in enumerate(spans) for part in ((Span(", "), span) if index else (span,)))


def _place(run: SeenRun) -> Line:
    commit, branch = text.commit(run.commit), text.name(run.branch or "")
    line: Line = (Span(", commit "), code(commit)) if commit else ()
    return (*line, Span(f", branch {branch}")) if branch else line


def _run(run: SeenRun) -> Span:
    return linked(text.run(run.run, run.number), run.build_url)


def _moment(run: SeenRun) -> str:
    return f"{datetime.fromtimestamp(run.at, UTC):%Y-%m-%d %H:%M} UTC"
