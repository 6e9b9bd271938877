"""A report as one HTML file: no script, nothing from elsewhere; light and dark, on a desk and on a phone.

How it looks is in `page.html.j2` and `report.css`; here is what of the report is shown, and how much of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from testbus.report import words
from testbus_consumers.wording import issues, numbers, runs, text
from testbus_schemas import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template

    from testbus.report.model import CauseReport, RunReport, TestEnd

#: Failing tests that the page names.
TESTS: Final = 500

#: Characters of one traceback, and of one captured output; of longer ones the end is shown.
_TEXT_CHARS: Final = 16_000

#: Characters of all tracebacks and outputs together; beyond it tests are only named.
_ALL_CHARS: Final = 4_000_000

#: Characters of a name or of one line.
_LINE_CHARS: Final = 600

#: The lines of pytest's text that say what was raised.
_RAISED: Final = re.compile(r"^E  .*$", re.MULTILINE)

#: Which tone an outcome, a state of a rule or a state of a run has.
_TONES: Final[Mapping[str, str]] = {
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

#: What every page is made with.
_FIXED: Final = {
    "tones": _TONES,
    # How a rule ended, as a sign.
    "marks": {"passed": "✓", "failed": "✗", "warning": "!", "skipped": "–"},  # noqa: RUF001 a dash
    # Coverage in percent from which a bar is green, and below which it is red.
    "green": 80.0,
    "red": 50.0,
    # How many are named: reasons, failing tests, retried tests, slow tests and producers.
    "most_reasons": 50,
    "most_tests": TESTS,
    "most_retried": 50,
    "most_slow": 10,
    "most_producers": 200,
    # Tests of one cause that are shown at once; further ones have to be unfolded.
    "at_once": 8,
    "words": words,
    "plural": numbers.plural,
    "launches": runs.launches,
}


def write(report: RunReport) -> str:
    """Return the report as a whole HTML document."""
    judgement = report.judgement if report.verdict else None
    return _template().render(
        report=report,
        title=runs.title(report.identity.project, report.identity.suite, report.identity.stage),
        state=words.state(report),
        sentence=words.sentence(report),
        notices=_notices(report),
        missing=judgement.missing if judgement else report.missing,
        rules=list(words.rules(judgement.rules)) if judgement else [],
        failures=_failures(report),
        show_command=issues.show(report.identity.run),
    )


@cache
def _template() -> Template:
    """Return the page's template, in which everything is escaped and a name that is not there is an error."""
    environment = Environment(
        loader=PackageLoader("testbus.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.globals |= _FIXED
    environment.filters |= {
        "shown": text.visible,
        "name": lambda value: text.name(value, _LINE_CHARS),
        "line": lambda value, characters=_LINE_CHARS: text.one_line(value, characters),
        "web_address": text.web_address,
        "commit": text.commit,
        "seconds": numbers.seconds,
        "percent": numbers.percent,
        "thousands": lambda value: f"{value:,}",
        "outcomes": _outcomes,
        "trace": _trace,
    }
    return environment.get_template("page.html.j2")


def _trace(content: str, raised: bool) -> Markup:  # noqa: FBT001 a filter's argument
    """Return a text of many lines as HTML; of a traceback (`raised`), what was raised is bold.

    It is not in the template, where a page of 4 million characters would take four times as long.
    """
    # As a plain str: joined by a Markup, the pieces would be escaped once more.
    escaped = str(escape(text.visible(content)))
    return Markup(_RAISED.sub(r"<b>\g<0></b>", escaped) if raised else escaped)  # noqa: S704 escaped above


def _outcomes(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the outcomes that there were, in the order of every report, each with the number of its tests."""
    return [(one.value, counts[one.value]) for one in runs.OUTCOMES if counts.get(one.value)]


def _notices(report: RunReport) -> list[str]:
    """Return what a reader has to know before anything else."""
    notices = [words.absent(report), words.wrong_clock(report)]
    judgement = report.judgement
    if judgement is not None and not judgement.current:
        notices.append(
            f"The verdict before, {judgement.verdict}, no longer holds: something came after it. "
            "A new one follows when the run is complete."
        )
    return [notice for notice in notices if notice]


@dataclass(frozen=True, slots=True)
class _Text:
    """A traceback or a captured output."""

    title: str
    content: str
    #: Whether it is only the end.
    cut: bool
    #: Whether it is a traceback, in which some lines say what was raised.
    raised: bool


@dataclass(frozen=True, slots=True)
class _FailingTest:
    """A failing test with what is unfolded below it."""

    test: TestEnd
    #: File and line; None without a file.
    place: str | None
    texts: list[_Text]
    #: Whether its outcome is shown beside its name.
    with_outcome: bool


@dataclass(frozen=True, slots=True)
class _FailureCause:
    """A cause with as many of its tests as are shown."""

    cause: CauseReport
    message: str
    tests: list[_FailingTest]


@dataclass(frozen=True, slots=True)
class _Failures:
    """What failed."""

    causes: list[_FailureCause]
    #: Whether there was no room for some of the texts.
    cut: bool


def _failures(report: RunReport) -> _Failures:
    """Return what failed, as far as there is room for it on the page."""
    causes = []
    tests, room = TESTS, _Room()
    for cause in report.causes:
        if tests <= 0:
            break
        shown = cause.tests[:tests]
        tests -= len(shown)
        rows = [_failing_test(test, room, in_cause=bool(cause.fingerprint)) for test in shown]
        causes.append(_FailureCause(cause, text.without_machine(cause.message), rows))
    return _Failures(causes, room.characters <= 0)


class _Room:
    """The characters of texts that still fit on the page."""

    def __init__(self) -> None:
        """Begin with all the room there is."""
        self.characters = _ALL_CHARS

    def take(self, title: str, content: str, *, raised: bool) -> list[_Text]:
        """Return the text, or its end; nothing when it is blank or no room is left."""
        if not content.strip() or self.characters <= 0:
            return []
        kept = content[-_TEXT_CHARS:]
        self.characters -= len(kept)
        return [_Text(title, kept.strip("\n"), len(content) > len(kept), raised)]


def _failing_test(test: TestEnd, room: _Room, *, in_cause: bool) -> _FailingTest:
    """Return one test; its outcome is shown unless it failed, or stands under no cause, whose title is the outcome."""
    texts = []
    for failure in test.failures:
        title = "traceback" if failure.phase == "call" else f"traceback of {failure.phase}"
        texts += room.take(title, failure.text or failure.message, raised=True)
    for output in test.output:
        texts += room.take(output.name, output.text, raised=False)
    place = f"{test.file}:{test.line}" if test.file and test.line else test.file
    return _FailingTest(test, place if texts else None, texts, in_cause and test.outcome is not Outcome.FAILED)
