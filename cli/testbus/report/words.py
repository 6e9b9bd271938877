"""What a report says of its run, alike in every form that it is written in; the sentences are made by `wording`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_consumers.wording import numbers, runs, text
from testbus_consumers.wording.notice import Span, code, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus.report.model import CauseReport, Component, Earlier, Identity, Producer, RunReport
    from testbus_consumers.wording.notice import Line
    from testbus_schemas import RuleEvaluated


def state(report: RunReport) -> str:
    """Return the state of a run in a word: passed, failed, incomplete, cancelled, open or undecided."""
    if report.verdict in {"passed", "failed"}:
        return report.verdict
    if report.verdict == "incomplete" or report.life == "interrupted":
        return "cancelled" if report.judgement and report.judgement.cancelled else "incomplete"
    return "open" if report.life == "open" else "undecided"


def heading(report: RunReport) -> Line:
    """Return what is the matter with a run, in one sentence."""
    judgement = report.judgement if report.verdict else None
    return runs.finding(
        runs.Standing(
            state=state(report),
            counts=report.counts,
            causes=[_failing(cause) for cause in report.causes],
            causes_total=len(report.causes),
            rules=judgement.rules if judgement else (),
            missing=judgement.missing if judgement else report.missing,
            pending=report.pending,
        )
    )


def sentence(report: RunReport) -> str:
    """Return the same without any style."""
    return plain(heading(report))


def failure_text(cause: CauseReport) -> str:
    """Return what a cause's first failure said, or what its outcome means."""
    return text.failure_text(cause.type, cause.message, 300) or "no failure text"


def run_span(identity: Identity) -> Span:
    """Return what people call a run, as a link to its build."""
    return Span(text.run(identity.run, identity.number), url=text.web_address(identity.build_url))


def compared(earlier: Earlier) -> Line:
    """Return what coverage is compared with: branch and commit, and what people call that run."""
    called = text.run(earlier.run, earlier.number)
    parts = [text.name(earlier.branch or ""), text.commit(earlier.commit)]
    spans = [code(part) for part in parts if part]
    where = (spans[0], Span(" at "), spans[1]) if len(spans) == len(parts) else tuple(spans)
    return (*where, Span(f" ({called})")) if where else (Span(called),)


def change(component: Component, earlier: Earlier | None) -> str:
    """Return how coverage changed: `+1.2`, `±0`, `new`; empty without anything to compare with."""
    if earlier is None:
        return ""
    if component.change is None:
        return "new"
    sign = "+" if component.change > 0 else "\N{MINUS SIGN}"
    return f"{sign}{numbers.number(abs(component.change))}" if component.change else "±0"


def absent(report: RunReport) -> str:
    """Return what to say of events that are not at hand any more; empty when all are."""
    if not report.absent:
        return ""
    events = numbers.plural(report.absent, "event")
    return f"{events} of this run cannot be read any more, so this report shows less than what was judged."


def wrong_clock(report: RunReport) -> str:
    """Return what to say of a runner whose clock was wrong; empty where it was not."""
    if report.clock_claimed is None:
        return ""
    claimed = f"{report.clock_claimed:%Y-%m-%d %H:%M} UTC"
    return f"The clock of a runner was wrong: by it the run started at {claimed}. It counts from when it was heard of."


def rules(found: Iterable[RuleEvaluated]) -> list[tuple[RuleEvaluated, str]]:
    """Return every rule with its state (failed, warning, skipped, passed), what needs a reader first."""
    order = ("failed", "warning", "skipped", "passed")
    entries = [(rule, _rule_state(rule)) for rule in found]
    return sorted(entries, key=lambda entry: order.index(entry[1]))


def place(producer: Producer) -> str:
    """Return where a producer ran: `3.12, shard 2 of 4, attempt 2`."""
    shard = f"shard {producer.shard} of {producer.shards or '?'}" if producer.shard else ""
    attempt = f"attempt {producer.attempt}" if producer.attempt > 1 else ""
    return ", ".join(part for part in (producer.variant, shard, attempt) if part)


def ended(producer: Producer) -> str:
    """Return how a producer ended."""
    if producer.superseded:
        return "replaced by a later attempt"
    how = (producer.status or "not finished").replace("_", " ")
    return how if producer.exit_status in {None, 0} else f"{how}, exit status {producer.exit_status}"


def reported(producer: Producer) -> str:
    """Return how many results a producer gave: of how many tests, or beside which it repeated some."""
    lost = f", {producer.dropped:,} lost" if producer.dropped else ""
    if producer.collected is None:
        return f"{numbers.plural(producer.reported, 'result')}{lost}"
    tests = numbers.plural(producer.collected, "test")
    if producer.reported < producer.collected:
        return f"{producer.reported:,} of {tests}{lost}"
    repeated = producer.reported - producer.collected
    return f"{tests} and {numbers.plural(repeated, 'repeat')}{lost}" if repeated else f"{tests}{lost}"


def joined(parts: Iterable[str | None], separator: str = " · ") -> str:
    """Return the parts that there are, in one line."""
    return separator.join(part for part in parts if part)


def _failing(cause: CauseReport) -> runs.Failing:
    return runs.Failing(
        fingerprint=cause.fingerprint,
        failure_text=failure_text(cause),
        test=cause.tests[0].node_id,
        tests=len(cause.tests),
    )


def _rule_state(rule: RuleEvaluated) -> str:
    if rule.outcome == "failed":
        return "warning" if rule.severity == "warn" else "failed"
    return rule.outcome if rule.outcome == "passed" else "skipped"
