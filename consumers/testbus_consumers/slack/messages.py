"""The message of a run, made for somebody who reads it on a phone: the verdict first, then why, then where."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from testbus_consumers.slack import text
from testbus_consumers.slack.settings import REPORT_FIELDS
from testbus_consumers.slack.shown import OVER, RUNNING
from testbus_schemas import GateEvaluated, Outcome
from testbus_schemas.decisions import Verdict
from testbus_schemas.fingerprints import mask

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from testbus_consumers.slack.shown import Shown
    from testbus_schemas import FailedTest, IssueLinked, RuleEvaluated, RunContext

#: What a message begins with, by verdict.
_SIGNS: Final = {Verdict.PASSED: "✅", Verdict.FAILED: "❌", Verdict.INCOMPLETE: "⚠️"}

#: Characters of the first line, of another line, and of the text that a notification shows.
_FIRST, _LINE, _NOTIFIED = 250, 200, 1000

#: Causes, rules and reasons that a message names.
_CAUSES, _RULES, _REASONS = 5, 8, 5

#: Failing tests that a verdict carries at most: the last cause may have more of them than that.
_CARRIED: Final = 20

#: Characters of a commit id that are shown.
_SHORT: Final = 7


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message, ready to be posted."""

    #: What a notification shows, and what is read aloud.
    text: str
    #: Block Kit blocks.
    blocks: list[dict[str, Any]]


def of_run(
    shown: Shown, context: RunContext, links: Mapping[str, IssueLinked], report_url: str | None = None
) -> Message:
    """Return the message of a run in a state; `links` are the issues of its root causes, by fingerprint."""
    verdict = GateEvaluated.model_validate(shown.verdict) if shown.verdict else None
    if shown.stage > OVER and shown.stage % 2:
        first = f"🔄 *{title(context)}* is open again: {text.escape(text.cut(shown.reason, _LINE))}"
        told = [f"Before: {_finding(verdict)}"] if verdict else []
        return message([first, *told], [], place(context, report_url, None))
    if verdict is None:
        how = "is running" if shown.stage == RUNNING else "is over, and not judged yet"
        return message([f"⏳ *{title(context)}* {how}"], [], place(context, report_url, None))
    took = datetime.fromtimestamp(shown.told_at, UTC) - verdict.context.started_at
    return _verdict(verdict, took, links, report_url)


def _verdict(data: GateEvaluated, took: timedelta, links: Mapping[str, IssueLinked], report_url: str | None) -> Message:
    sign = "⏹️" if data.cancelled else _SIGNS.get(data.verdict, "⚠️")
    first = f"{sign} *{title(data.context)}* {_finding(data)}"
    why = [_rule(rule) for rule in data.rules if rule.outcome == "failed"][:_RULES]
    if data.verdict is Verdict.INCOMPLETE:
        told = {rule.message for rule in data.rules}
        missing = [reason for reason in data.reasons if reason not in told]
        why = [f"• {text.escape(text.cut(reason, _LINE))}" for reason in missing[:_REASONS]] + why
    return message([first, *why], _causes(data, links), place(data.context, report_url, took))


def title(context: RunContext) -> str:
    """Return what a run is called: project, suite and stage."""
    stage = f" · {context.stage}" if context.stage else ""
    return text.escape(text.cut(f"{context.project} · {context.suite}{stage}".replace("*", ""), _FIRST))


def _finding(data: GateEvaluated) -> str:
    """Return verdict and counts."""
    bad = _bad(data)
    skipped = data.counts.get("skipped", 0) + data.counts.get("not_run", 0)
    aside = f" ({skipped:,} skipped)" if skipped else ""
    if data.verdict is Verdict.PASSED:
        return f"passed: {text.tests(data.total - bad - skipped)}{aside}"
    if data.verdict is Verdict.FAILED:
        counts = f"{bad:,} of {text.tests(data.total)}" if bad else f"its rules, but none of {text.tests(data.total)}"
        return f"failed: {counts}{aside}"
    silent = data.counts.get("not_reported", 0)
    parts = [
        f", {bad - silent:,} failed" if bad > silent else "",
        f", {silent:,} of them not reported" if silent else "",
    ]
    how = "was cancelled" if data.cancelled else "is incomplete"
    return f"{how}: {text.tests(data.total)} heard of{''.join(parts)}{aside}"


def _bad(data: GateEvaluated) -> int:
    return sum(count for outcome, count in data.counts.items() if Outcome(outcome).bad)


def _rule(rule: RuleEvaluated) -> str:
    if rule.value is None or rule.threshold is None:
        return f"• *{text.escape(rule.rule)}*: {text.escape(text.cut(rule.message, _LINE))}"
    unit = f" {text.escape(rule.unit)}" if rule.unit else ""
    return f"• *{text.escape(rule.rule)}*: {text.number(rule.value)}{unit}, wanted {text.number(rule.threshold)}{unit}"


def _causes(data: GateEvaluated, links: Mapping[str, IssueLinked]) -> list[str]:
    """Return the first causes, tests that failed for the same one together, the most frequent first."""
    by_cause: dict[str, list[FailedTest]] = defaultdict(list)
    for test in data.failures:
        by_cause[test.fingerprint or test.outcome].append(test)
    cut_off = list(by_cause)[-1:] if len(data.failures) == _CARRIED < _bad(data) else []
    ordered = sorted(by_cause.items(), key=lambda entry: -len(entry[1]))
    lines = [
        _cause(tests, more=cause in cut_off) + (f" → {issue(links[cause])}" if cause in links else "")
        for cause, tests in ordered[:_CAUSES]
    ]
    untold = _bad(data) - sum(len(tests) for _, tests in ordered[:_CAUSES])
    return [*lines, f"… and {text.tests(untold)} more"] if untold > 0 and lines else lines


def _cause(tests: list[FailedTest], *, more: bool) -> str:
    first = tests[0]
    if len(tests) == 1 and not more:
        said = ": ".join(part for part in (first.type, first.message) if part) or first.outcome
        return f"• {text.code(text.cut(said, _LINE))} {text.escape(text.cut(first.node_id, _LINE))}"
    said = ": ".join(part for part in (first.type, mask(first.message)) if part) or first.outcome
    return f"• {text.code(text.cut(said, _LINE))} ({len(tests)}{'+' if more else ''} tests)"


def issue(linked: IssueLinked) -> str:
    """Return an issue's key, as a link if it has an address."""
    return text.link(linked.url, linked.key) or text.code(linked.key)


def place(context: RunContext, report_url: str | None, took: timedelta | None) -> str:
    """Return where to look, on one line."""
    commit = (context.commit or "")[:_SHORT]
    fields = {name: quote(getattr(context, name) or "", safe="") for name in REPORT_FIELDS}
    parts = [
        text.link(context.build_url, "Build"),
        text.link(report_url.format_map(fields), "Report") if report_url else "",
        text.code(text.cut("@".join(part for part in (context.branch, commit) if part), _LINE)),
        text.escape(f"#{context.pull_request.removeprefix('#')}") if context.pull_request else "",
        text.duration(took) if took else "",
    ]
    return " · ".join(part for part in parts if part)


def message(head: list[str], more: list[str], place: str) -> Message:
    """Return a message of lines: the first one, and the others of `head`, are what a notification shows."""
    blocks: list[dict[str, Any]] = [_section(head[:1])]
    blocks += [_section(lines) for lines in (head[1:], more) if lines]
    if place:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": place}]})
    return Message(text=text.fit(head, _NOTIFIED), blocks=blocks)


def _section(lines: list[str]) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text.fit(lines)}}
