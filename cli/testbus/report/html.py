"""A report as one HTML file: no script, nothing from elsewhere; light and dark, on a desk and on a phone."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from testbus.report import html_parts as parts
from testbus.report import html_tables as tables
from testbus.report import words
from testbus.report.html_failures import Failures
from testbus_consumers.wording import issues, numbers, runs, text

if TYPE_CHECKING:
    from testbus.report.model import RunReport

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
        f'<p class="verdict"><strong>{state.capitalize()}</strong><span>{parts.words(words.heading(report))}</span></p>'
        f"{parts.outcomes_bar(report.counts)}{_facts(report)}</header>"
    )


def _facts(report: RunReport) -> str:
    identity = report.identity
    started = f'<time datetime="{report.started_at.isoformat()}">{report.started_at:%Y-%m-%d %H:%M} UTC</time>'
    commit = parts.name(text.commit(identity.commit)) if identity.commit else ""
    facts = (
        ("run", parts.words((words.run_span(identity),))),
        ("launch", " ".join(parts.words((launch,)) for launch in runs.launches(report.launches))),
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
            parts.words(change.line),
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
