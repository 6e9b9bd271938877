"""What failed, as HTML: tests with the same cause together, each with its traceback; bounded for big runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus.report import html_parts as parts
from testbus_consumers.wording import numbers, text
from testbus_schemas import Outcome

if TYPE_CHECKING:
    from testbus.report.findings import Cause, TestEnd
    from testbus.report.model import RunReport

#: Failing tests that the page names.
TESTS: Final = 500

#: Tests of one cause that are shown at once; further ones have to be unfolded.
_AT_ONCE: Final = 8

#: Characters of one traceback, and of one captured output; of longer ones the end is shown.
_TEXT_CHARS: Final = 16_000

#: Characters of all tracebacks and outputs together; beyond it tests are only named.
_ALL_CHARS: Final = 4_000_000

#: Begins the lines of pytest's text that say what was raised.
_RAISED: Final = "E  "


class Failures:
    """Writes the failures of one report, and counts what it has written."""

    def __init__(self) -> None:
        """Begin with all the room there is."""
        self._tests = TESTS
        self._chars = _ALL_CHARS

    def section(self, report: RunReport) -> str:
        """Return the section; empty when nothing failed."""
        causes = [self._cause(cause) for cause in report.causes if self._tests > 0]
        if report.bad > TESTS:
            causes.append(
                f'<p class="notice calm">Only the first {TESTS:,} of {numbers.plural(report.bad, "test")} are here; '
                "<code>testbus report --format json</code> has them all.</p>"
            )
        if self._chars <= 0:
            causes.append(
                '<p class="notice calm">Some texts are long: further tracebacks are left out here; '
                "<code>testbus report --format json</code> has them all.</p>"
            )
        aside = f"{numbers.plural(report.bad, 'test')}, {numbers.plural(len(report.causes), 'cause')}"
        return parts.section("What failed", "".join(causes), aside)

    def _cause(self, cause: Cause) -> str:
        shown = cause.tests[: self._tests]
        self._tests -= len(shown)
        rows = [self._test(test, told=not cause.fingerprint) for test in shown]
        folded = ""
        if len(rows) > _AT_ONCE:
            more = numbers.plural(len(rows) - _AT_ONCE, "more test")
            folded = (
                f"<li><details><summary><span>{more}</span></summary><ul>{''.join(rows[_AT_ONCE:])}</ul></details></li>"
            )
        type_ = f'<span class="type">{parts.line(cause.type)}</span>' if cause.type else ""
        said = ": ".join(part for part in (type_, parts.line(text.without_machine(cause.message))) if part)
        return (
            f'<article class="card cause"><header><h3>{said or "no failure text"}</h3>'
            f'<div class="tags">{self._tags(cause)}</div></header>'
            f'<ul class="tests">{"".join(rows[:_AT_ONCE])}{folded}</ul></article>'
        )

    @staticmethod
    def _tags(cause: Cause) -> str:
        issues = [
            f'<span class="tag">{parts.link(issue.url, issue.key)} {parts.line(issue.status)}</span>'
            for issue in cause.issues
        ]
        facts = [("raised at", cause.raised_at), ("fingerprint", cause.fingerprint)]
        told = [f'<span class="soft">{name} <code>{parts.line(fact)}</code></span>' for name, fact in facts if fact]
        new = parts.tag("new", "warn") if cause.new else ""
        return "".join((parts.tag(numbers.plural(len(cause.tests), "test"), "bad"), new, *issues, *told))

    def _test(self, test: TestEnd, *, told: bool) -> str:
        """Return one test; how it ended is said unless it failed, or its cause has `told` so."""
        attempts = parts.tag(f"attempt {test.attempt}") if test.attempt > 1 else ""
        outcome = "" if told or test.outcome is Outcome.FAILED else parts.outcome_tag(test.outcome)
        named = (
            f'<span class="name">{parts.name(test.node_id)} '
            f"{outcome} {parts.variant_tag(test.variant)} {attempts}</span>"
        )
        inside = self._inside(test)
        if not inside:
            return f'<li class="plain">{named}</li>'
        took = f'<span class="num soft">{parts.line(numbers.seconds(test.duration_s))}</span>'
        return f'<li><details><summary>{named}{took}</summary><div class="inside">{inside}</div></details></li>'

    def _inside(self, test: TestEnd) -> str:
        found = [
            self._text(_phase(failure.phase), failure.text or failure.message, raised=True) for failure in test.failures
        ]
        found += [self._text(output.name, output.text, raised=False) for output in test.output]
        place = f"{test.file}:{test.line}" if test.file and test.line else test.file
        where = f'<p class="soft">{parts.line(place)}</p>' if place else ""
        return where + "".join(found) if any(found) else ""

    def _text(self, title: str, content: str, *, raised: bool) -> str:
        if not content.strip() or self._chars <= 0:
            return ""
        kept = content[-_TEXT_CHARS:]
        self._chars -= len(kept)
        cut = " (its end)" if len(content) > len(kept) else ""
        lines = (
            f"<b>{parts.text(one)}</b>" if raised and one.startswith(_RAISED) else parts.text(one)
            for one in kept.strip("\n").split("\n")
        )
        body = "\n".join(lines)
        label = parts.line(title)
        return (
            f'<div><p class="soft">{label}{cut}</p>'
            f'<pre class="trace scroll" tabindex="0" role="region" aria-label="{label}">{body}</pre></div>'
        )


def _phase(phase: str) -> str:
    return "traceback" if phase == "call" else f"traceback of {phase}"
