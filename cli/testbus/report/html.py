"""A report as one HTML file: no script, nothing from elsewhere; light and dark, on a desk and on a phone."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from testbus.report import html_parts as parts
from testbus.report import html_parts as tables
from testbus.report import words
from testbus_consumers.wording import issues, numbers, runs, text
from testbus_schemas import Outcome

if TYPE_CHECKING:
    from testbus.report.model import Cause, RunReport, TestEnd

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


#: What the browser may load: nothing. The style is in the file.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'"

#: What stands for how a rule ended.
_MARKS: Final = {"passed": "✓", "failed": "✗", "warning": "!", "skipped": "–"}  # noqa: RUF001 a dash

#: Reasons that are told.
_REASONS: Final = 50


def write(report: RunReport) -> str:
    """Return the report as a whole HTML document."""
    state, sentence = words.state(report), words.sentence(report)
    title = runs.title(report.identity.project, report.identity.suite, report.identity.stage)
    body = "".join(
        (
            _hero(report, title, state),
            _notices(report),
            _why(report),
            Failures().section(report),
            _changes(report),
            tables.retried(report),
            tables.coverage(report),
            tables.variants(report),
            tables.slowest(report),
            tables.producers(report),
        )
    )
    style = files("testbus.report").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f'<link rel="icon" href="data:,"><title>{parts.line(f"{state.capitalize()}: {title}, {sentence}")}</title>'
        f"<style>{style}</style></head><body><main>{body}{_foot(report)}</main></body></html>\n"
    )


def _hero(report: RunReport, title: str, state: str) -> str:
    return (
        f'<header class="hero {parts.TONES[state]}"><h1>{parts.line(title)}</h1>'
        f'<p class="verdict"><strong>{state.capitalize()}</strong>'
        f"<span>{parts.rendered(words.heading(report))}</span></p>"
        f"{parts.outcomes_bar(report.counts)}{_facts(report)}</header>"
    )


def _facts(report: RunReport) -> str:
    identity = report.identity
    started = f'<time datetime="{report.started_at.isoformat()}">{report.started_at:%Y-%m-%d %H:%M} UTC</time>'
    commit = parts.name(text.commit(identity.commit)) if identity.commit else ""
    facts = (
        ("run", parts.rendered((words.run_span(identity),))),
        ("launch", " ".join(parts.rendered((launch,)) for launch in runs.launches(report.launches))),
        ("repository", parts.line(identity.repository or "")),
        ("branch", parts.line(identity.branch or "")),
        ("commit", commit),
        ("pull request", parts.line(identity.pull_request or "")),
        ("started", started),
        ("took", parts.line(numbers.seconds(report.took_s))),
        *((parts.line(name), parts.line(value)) for name, value in identity.labels.items()),
    )
    told = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts if value)
    return f'<dl class="facts">{told}</dl>'


def _notices(report: RunReport) -> str:
    told = [words.absent(report), words.wrong_clock(report)]
    judgement = report.judgement
    if judgement is not None and not judgement.current:
        told.append(
            f"The verdict before, {judgement.verdict}, no longer holds: something came after it. "
            "A new one follows when the run is complete."
        )
    return "".join(f'<p class="notice warn">{parts.line(one)}</p>' for one in told if one)


def _why(report: RunReport) -> str:
    judgement = report.judgement if report.verdict else None
    missing = judgement.missing if judgement else report.missing
    rows = [_reason("warn", "!", parts.line(reason, 1000)) for reason in missing[:_REASONS]]
    if len(missing) > _REASONS:
        rows.append(_reason("warn", "!", f"and {len(missing) - _REASONS:,} more things are missing"))
    for rule, state in words.rules(judgement.rules) if judgement else ():
        rows.append(_reason(parts.TONES[state], _MARKS[state], parts.line(rule.message, 1000), state))
    return parts.section("Why", f'<ul class="card list">{"".join(rows)}</ul>') if rows else ""


def _reason(tone: str, mark: str, reason: str, state: str = "missing") -> str:
    """Return one line of a list; `reason` is HTML."""
    return (
        f'<li class="{tone}"><span class="mark" role="img" aria-label="{state}">{mark}</span>'
        f'<span class="{state}">{reason}</span></li>'
    )


def _changes(report: RunReport) -> str:
    rows = [
        _reason(
            "bad" if change.worse else "good",
            "↓" if change.worse else "↑",
            parts.rendered(change.line),
            "worse" if change.worse else "recovered",
        )
        for change in report.changes[:_REASONS]
    ]
    if (more := len(report.changes) - _REASONS) > 0:
        rows.append(_reason("calm", "–", f"and {numbers.plural(more, 'more change')}", "more"))  # noqa: RUF001 a dash
    return parts.section("Compared with earlier runs", f'<ul class="card list">{"".join(rows)}</ul>') if rows else ""


def _foot(report: RunReport) -> str:
    told = f"Made by testbus from {numbers.plural(report.events, 'event')}"
    if report.judgement is not None:
        told += f"; judged {report.judgement.decided_at:%Y-%m-%d %H:%M:%S} UTC by rules {report.judgement.policy}"
    shown = f"{parts.name(issues.show(report.identity.run))} shows this run in a terminal."
    return f"<footer>{parts.line(told)}. {shown}</footer>"
