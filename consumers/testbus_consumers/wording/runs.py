"""What is reported of a run: its state and its verdict, alike in Slack, ReportPortal, the page and the terminal."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from testbus_consumers.wording import numbers, text
from testbus_consumers.wording.notice import (
    Bullets,
    Line,
    Notice,
    Paragraph,
    Span,
    Tone,
    code,
    linked,
    plain,
    strong,
)
from testbus_schemas import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from testbus_consumers.wording.notice import Block
    from testbus_schemas import GateEvaluated, IssueLinked, RuleEvaluated, RunContext

#: How a message looks, by state.
TONES: Final = {
    "passed": (Tone.GOOD, "✅"),
    "failed": (Tone.BAD, "❌"),
    "incomplete": (Tone.WARN, "⚠️"),
    "cancelled": (Tone.CALM, "⏹️"),
    "open": (Tone.CALM, "⏳"),
    "undecided": (Tone.CALM, "⏳"),
}

#: Causes, rules and reasons that a message names.
_CAUSES, _RULES, _REASONS = 5, 8, 5

#: Tests that a verdict named at most before it counted its causes.
_CARRIED: Final = 20

#: Characters of a reason, which may name a test.
_REASON_CHARS: Final = 400

#: What an outcome without a failure text means.
_SILENCES: Final = {
    "failed": "failed, and left no text",
    "error": "ended in an error that left no text",
    "timeout": "took too long, and was stopped",
    "not_reported": "never reported: the process died, or events are missing",
    "unknown": "ended in a way that this version of testbus does not know",
}

#: Rules whose value counts something: how the sentence goes.
_COUNTING: Final = {"failures": "failure", "tests": "test"}


@dataclass(frozen=True, kw_only=True)
class Failing:
    """Tests that did not pass for one cause."""

    #: Identity of the cause; empty when its failures left no text.
    fingerprint: str
    #: What an example of them said: `KeyError: 'platinum'`.
    failure_text: str
    #: Name of one of the tests.
    test: str
    #: How many tests there are, each in each variant.
    tests: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of a run, whoever knows it."""

    #: passed, failed, incomplete, cancelled, open or undecided.
    state: str
    #: Tests by outcome.
    counts: Mapping[str, int]
    #: What its tests fail for, the most frequent first; perhaps not all.
    causes: Sequence[Failing] = ()
    #: How many causes there are; None when that is not known.
    causes_total: int | None = None
    #: Every rule.
    rules: Sequence[RuleEvaluated] = ()
    missing: Sequence[str] = ()
    #: Tests that may still come.
    pending: int = 0

    @property
    def bad(self) -> int:
        """Return how many tests need a person."""
        return sum(count for outcome, count in self.counts.items() if Outcome(outcome).bad)

    @property
    def skipped(self) -> int:
        """Return how many tests were not meant to run."""
        return self.counts.get("skipped", 0)

    @property
    def not_run(self) -> int:
        """Return how many tests the session did not come to."""
        return self.counts.get("not_run", 0)

    @property
    def ran(self) -> int:
        """Return how many tests there are without both: what the gates' rules count."""
        return sum(self.counts.values()) - self.skipped - self.not_run

    def broken(self, severity: str) -> list[RuleEvaluated]:
        """Return the rules that failed, of one severity."""
        return [rule for rule in self.rules if rule.outcome == "failed" and rule.severity == severity]


class Launch(Protocol):
    """A launch in a ReportPortal."""

    @property
    def target(self) -> str:
        """Return the name of the ReportPortal."""

    @property
    def url(self) -> str:
        """Return the address of the launch's page."""


@dataclass(frozen=True, kw_only=True)
class Whereabouts:
    """Where more of a run can be seen."""

    #: Address of its page; None without one.
    report_url: str | None = None
    #: Its launches in ReportPortal.
    launches: Sequence[Launch] = ()
    #: How long it took; None while that is not known.
    took: timedelta | None = None


def standing(data: GateEvaluated) -> Standing:
    """Return what a verdict says."""
    ruled = {rule.message for rule in data.rules}
    causes, total = _causes_of(data)
    return Standing(
        state="cancelled" if data.cancelled else data.verdict.value,
        counts=data.counts,
        causes=causes,
        causes_total=total,
        rules=data.rules,
        missing=[reason for reason in data.reasons if reason not in ruled],
    )


def running(context: RunContext, *, over: bool, where: Whereabouts) -> Notice:
    """Return the message of a run that was not judged yet."""
    how = "is over, and not judged yet" if over else "is running"
    tone, sign = TONES["open"]
    return Notice(tone=tone, sign=sign, headline=(subject(context), Span(f" {how}")), facts=facts(context, where))


def judged(context: RunContext, run: Standing, where: Whereabouts, issues: Mapping[str, IssueLinked]) -> Notice:
    """Return the message of a verdict; `issues` stand for causes, by fingerprint."""
    tone, sign = TONES.get(run.state, TONES["incomplete"])
    verb = {"incomplete": " is incomplete: ", "cancelled": " was cancelled: "}.get(run.state, ": ")
    headline = (subject(context), Span(verb), *finding(run))
    return Notice(tone=tone, sign=sign, headline=headline, body=why(run, issues), facts=facts(context, where))


def reopened(context: RunContext, reason: str, before: Standing | None, where: Whereabouts) -> Notice:
    """Return the message of a run whose verdict no longer holds."""
    headline = (subject(context), Span(f" is open again: {text.one_line(reason, _REASON_CHARS)}"))
    paragraphs: tuple[Block, ...] = ()
    if before is not None:
        state = {"incomplete": "incomplete, ", "cancelled": "cancelled, "}.get(before.state, "")
        paragraphs = (Paragraph((Span(f"Before: {state}"), *finding(before))),)
    return Notice(tone=Tone.CALM, sign="🔄", headline=headline, body=paragraphs, facts=facts(context, where))


def subject(context: RunContext) -> Span:
    """Return what a run is of: project, suite and stage."""
    return strong(title(context.project, context.suite, context.stage))


def title(project: str, suite: str, stage: str | None) -> str:
    """Return project, suite and stage in one line."""
    return " · ".join(text.name(part) for part in (project, suite, stage) if part)


def facts(context: RunContext, where: Whereabouts) -> tuple[Line, ...]:
    """Return where to look, and what was tested."""
    took = numbers.seconds(where.took.total_seconds()) if where.took and where.took.total_seconds() > 0 else ""
    report = linked("Report", where.report_url)
    parts: list[Line] = [
        (run_span(context),),
        (report,) if report.url else (),
        *((launch,) for launch in launches(where.launches)),
        revision(context),
        (Span(f"pull request {text.name(context.pull_request.removeprefix('#'))}"),) if context.pull_request else (),
        (Span(took),) if took else (),
    ]
    return tuple(part for part in parts if part)


def run_span(context: RunContext) -> Span:
    """Return what people call a run, as a link to its build."""
    return linked(text.run(context.run, context.run_number), context.build_url)


def launches(found: Sequence[Launch]) -> tuple[Span, ...]:
    """Return links to a run's launches, by target; targets are named when there are several."""
    several = len({launch.target for launch in found}) > 1
    spans = (
        linked(f"ReportPortal {text.name(launch.target)}" if several else "ReportPortal", launch.url)
        for launch in sorted(found, key=lambda launch: launch.target)
    )
    return tuple(span for span in spans if span.url)


def revision(context: RunContext) -> Line:
    """Return branch and commit; empty without either."""
    parts = [text.name(context.branch or ""), text.commit(context.commit)]
    spans = [code(part) for part in parts if part]
    return (spans[0], Span(" at "), spans[1]) if len(spans) == len(parts) else tuple(spans)


def finding(run: Standing) -> Line:
    """Return what is the matter with a run, in one sentence without its name."""
    match run.state:
        case "passed":
            warned = len(run.broken("warn"))
            warnings = f"; {numbers.plural(warned, 'warning')}" if warned else ""
            return (Span(f"{numbers.plural(run.ran, 'test')} passed{_aside(run)}{warnings}"),)
        case "failed" if run.bad:
            return (*_failing(run), *_for_what(run))
        case "failed":
            broken = run.broken("block")
            first = rule_line(broken[0], stands_out=False) if broken else (Span(" ".join(run.missing[:1])),)
            rule = (*first, Span("; ")) if plain(first) else ()
            return (*rule, Span(f"no test fails ({run.ran:,} passed{_aside(run, ', ', '')})"))
        case "open":
            awaited = f", {run.pending:,} to come" if run.pending else ""
            return (Span(f"{counted(run.counts)} so far{awaited}"),)
        case "undecided":
            return (Span(f"complete, and not judged yet: {counted(run.counts)}"),)
    return _unfinished(run)


def why(run: Standing, issues: Mapping[str, IssueLinked]) -> tuple[Block, ...]:
    """Return what the first sentence leaves out: what is missing, the rules that failed, and the causes."""
    blocks: list[Block] = []
    if run.state != "cancelled" and len(run.missing) > 1:
        reasons = [(Span(text.one_line(reason, _REASON_CHARS)),) for reason in run.missing[1:_REASONS]]
        blocks.append(_bullets(reasons, len(run.missing) - 1, "reason"))
    broken = [*run.broken("block"), *run.broken("warn")]
    if broken and not (run.state == "failed" and not run.bad and len(broken) == 1):
        blocks.append(_bullets([rule_line(rule) for rule in broken[:_RULES]], len(broken), "rule"))
    if run.causes:
        shown = run.causes[:_CAUSES]
        only = run.causes_total == 1
        items = tuple(_cause(cause, issues.get(cause.fingerprint), only=only) for cause in shown)
        weights = tuple(cause.tests for cause in shown)
        blocks.append(Bullets(items, weights, run.bad - sum(weights)))
    return tuple(blocks)


def rule_line(rule: RuleEvaluated, *, stands_out: bool = True) -> Line:
    """Return what a rule found, and what was wanted."""
    label = text.one_line(rule.rule.replace("_", " "))
    first = strong(label) if stands_out else Span(label)
    of = f" of {text.one_line(rule.name)}" if rule.name else ""
    if rule.value is None or rule.threshold is None:
        return (first, Span(f"{of}: {text.one_line(_explained(rule), _REASON_CHARS)}"))
    relation = "at least" if rule.value < rule.threshold else "at most"
    wanted = f"wanted {relation} {numbers.limit(rule.threshold, rule.unit)}"
    value = numbers.against(rule.value, rule.threshold, rule.unit)
    return (first, Span(f"{of} is {value}, {wanted}" if rule.rule not in _COUNTING else f"{of}: {value}, {wanted}"))


def silence(outcome: str) -> str:
    """Return what to say of a test that ended so and left no text."""
    return _SILENCES.get(outcome, f"{outcome.replace('_', ' ')}, and left no text")


def counted(counts: Mapping[str, int]) -> str:
    """Return how many tests ended how, in words; what matters most first."""
    known = [(outcome, counts[outcome.value]) for outcome in OUTCOMES if counts.get(outcome.value)]
    return ", ".join(f"{count:,} {outcome.value.replace('_', ' ')}" for outcome, count in known) or "no tests"


#: Outcomes in the order in which they matter to a reader.
OUTCOMES: Final = (
    Outcome.FAILED,
    Outcome.ERROR,
    Outcome.TIMEOUT,
    Outcome.NOT_REPORTED,
    Outcome.UNKNOWN,
    Outcome.PASSED,
    Outcome.XPASSED,
    Outcome.XFAILED,
    Outcome.SKIPPED,
    Outcome.NOT_RUN,
)


def _failing(run: Standing) -> Line:
    silent = run.counts.get("not_reported", 0)
    verb = "did not pass" if silent else "fails" if run.bad == 1 else "fail"
    never = f", {silent:,} of them never reported" if silent else ""
    return (Span(f"{run.bad:,} of {numbers.plural(run.ran, 'test')} {verb}{never}{_aside(run)}"),)


def _for_what(run: Standing) -> Line:
    if not run.causes:
        return ()
    first = run.causes[0]
    if run.causes_total == 1:
        return (Span(": "), _message(first))
    many = f"{run.causes_total:,}" if run.causes_total is not None else "several"
    line = (Span(f", for {many} causes"),)
    often = (Span(f"; {first.tests:,} of them: "), _message(first)) if first.tests > 1 else ()
    return (*line, *often)


def _unfinished(run: Standing) -> Line:
    parts: list[Line] = []
    if run.state != "cancelled" and run.missing:
        more = len(run.missing) - 1
        others = f", and {numbers.plural(more, 'more reason')}" if more else ""
        parts.append((Span(f"{text.one_line(run.missing[0], _REASON_CHARS)}{others}"),))
    if run.bad:
        so_far = _failing(run)
    elif run.ran:
        so_far = (Span(f"none of {numbers.plural(run.ran, 'test')} fails{_aside(run)}"),)
    else:
        so_far = (Span(f"no test ended{_aside(run)}"),)
    parts.append((Span("so far "), *so_far))
    return tuple(span for index, part in enumerate(parts) for span in ((Span("; "), *part) if index else part))


def _aside(run: Standing, before: str = " (", after: str = ")") -> str:
    parts = [f"{count:,} {word}" for count, word in ((run.skipped, "skipped"), (run.not_run, "not run")) if count]
    return f"{before}{', '.join(parts)}{after}" if parts else ""


def _cause(cause: Failing, issue: IssueLinked | None, *, only: bool) -> Line:
    more = cause.tests - 1
    others = f" and {numbers.plural(more, 'more test')}" if more else ""
    link = (Span(" → "), issue_span(issue)) if issue else ()
    tests = (code(text.name(cause.test)), Span(others))
    if only:
        return (*tests, *link)
    if not cause.fingerprint:
        return (*tests, Span(f": {cause.failure_text}"), *link)
    return (_message(cause), Span(" in "), *tests, *link)


def _message(cause: Failing) -> Span:
    return code(cause.failure_text) if cause.fingerprint else Span(cause.failure_text)


def issue_span(issue: IssueLinked) -> Span:
    """Return an issue's key, as a link to its page."""
    return linked(text.name(issue.key), issue.url)


def _bullets(lines: Sequence[Line], total: int, noun: str) -> Bullets:
    return Bullets(tuple(lines), left_out=total - len(lines), noun=noun)


def _explained(rule: RuleEvaluated) -> str:
    """Return the rule's own sentence without its name, which stands before it."""
    label = f"{rule.rule} of {rule.name}" if rule.name else rule.rule
    return rule.message.removeprefix(label).strip()


def _causes_of(data: GateEvaluated) -> tuple[list[Failing], int | None]:
    """Return the causes of a verdict, and how many there are; one of an older version named its first tests only."""
    if data.causes:
        found = [
            Failing(
                fingerprint=cause.fingerprint,
                failure_text=text.failure_text(cause.type, cause.message) or silence(cause.outcome),
                test=cause.node_id,
                tests=cause.total,
            )
            for cause in data.causes
        ]
        return found, data.causes_total
    groups = defaultdict(list)
    for test in data.failures:
        groups[test.fingerprint or test.outcome].append(test)
    found = [
        Failing(
            fingerprint=tests[0].fingerprint,
            failure_text=text.failure_text(tests[0].type, tests[0].message) or silence(tests[0].outcome),
            test=tests[0].node_id,
            tests=len(tests),
        )
        for tests in groups.values()
    ]
    known = len(data.failures) < _CARRIED
    return sorted(found, key=lambda cause: -cause.tests), len(found) if known else None
