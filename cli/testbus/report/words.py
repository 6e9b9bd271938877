"""How numbers and texts are said, alike in every form of a report."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from testbus_schemas import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbus.report.findings import Component, Earlier
    from testbus.report.model import Producer, RunReport
    from testbus_schemas import RuleEvaluated

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

#: What an outcome without a failure text means.
MEANINGS: Final[Mapping[Outcome, str]] = {
    Outcome.FAILED: "failed, and left no failure text",
    Outcome.ERROR: "ended in an error that left no text",
    Outcome.TIMEOUT: "took too long, and was stopped",
    Outcome.NOT_REPORTED: "collected, and never heard of: their process died, or their events are missing",
    Outcome.UNKNOWN: "ended in a way that this version of testbus does not know",
}

_MILLISECOND, _MINUTE, _HOUR = 0.001, 60, 3600

#: Colours and other terminal commands.
_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")

#: Characters that show nothing but change how the text around them shows, and what is shown in their place.
_INVISIBLE: Final[Mapping[int, int | None]] = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
    0x7F: 0x2421,
    # A line may end with \r\n.
    0x0D: None,
}

#: Characters of a URL that stay as they are.
_URL_SAFE: Final = ":/?#[]@!$&'()*+,;=%-._~"


def visible(text: str) -> str:
    """Return a text in which every character shows: no colours, no terminal commands, no change of direction."""
    return _ANSI.sub("", text).translate(_INVISIBLE)


def one_line(text: str, characters: int = 300) -> str:
    """Return a visible text on one line, cut with an ellipsis."""
    line = " ".join(visible(text).split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


def first_line(text: str) -> str:
    """Return the first line of a text that is not blank."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def web_address(url: str | None) -> str | None:
    """Return a URL that may be made a link: only http and https, with what no URL may hold encoded."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return quote(url, safe=_URL_SAFE) if parts.scheme in {"http", "https"} and parts.netloc else None


def seconds(length: float | None) -> str:
    """Return a length of time as a person says it; empty for None."""
    if length is None:
        return ""
    if length < _MILLISECOND:
        return "< 1 ms"
    if length < 1:
        return f"{length * 1000:.0f} ms"
    if length < _MINUTE:
        return f"{length:.1f} s"
    whole = round(length)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"


def number_of(count: int, noun: str) -> str:
    """Return a number of things: `1 test`, `1,204 tests`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def counts(by_outcome: Mapping[str, int]) -> list[tuple[Outcome, int]]:
    """Return how many tests ended how, what matters most first, without what is none."""
    return [(outcome, by_outcome[outcome.value]) for outcome in OUTCOMES if by_outcome.get(outcome.value)]


def counted(by_outcome: Mapping[str, int]) -> str:
    """Return how many tests ended how, in words."""
    told = [f"{count:,} {outcome.value.replace('_', ' ')}" for outcome, count in counts(by_outcome)]
    return ", ".join(told) or "no tests"


def percent(value: float) -> str:
    """Return a percentage with one decimal, cut: it never rounds up to a threshold that it missed."""
    return f"{int(value * 10 + 1e-6) / 10:.1f} %"


def change(component: Component, earlier: Earlier | None) -> str:
    """Return how coverage changed: `+1.2`, `±0`, `new`; empty without anything to compare with."""
    if earlier is None:
        return ""
    if component.change is None:
        return "new"
    return "±0" if not component.change else f"{component.change:+.2f}".replace("-", "\N{MINUS SIGN}")  # fmt: skip


def heading(report: RunReport) -> tuple[str, str]:
    """Return the state of a run in a word (`failed`, `open`, …) and in a sentence."""
    if report.verdict == "passed":
        return "passed", counted(report.counts)
    if report.verdict == "failed":
        bad = f"{report.bad:,} of {number_of(report.total, 'test')} did not pass"
        return "failed", bad if report.bad else f"no test failed, but a rule did; {counted(report.counts)}"
    if report.verdict == "incomplete" or report.life == "interrupted":
        failed = f"; {report.bad:,} of {number_of(report.total, 'test')} did not pass" if report.bad else ""
        return "incomplete", f"something of the run is missing{failed}"
    if report.life == "open":
        awaited = f", {report.pending:,} to come" if report.pending else ""
        return "open", f"the run is not complete: {counted(report.counts)} so far{awaited}"
    return "undecided", f"complete, and not judged yet: {counted(report.counts)}"


def absent(report: RunReport) -> str:
    """Return what to say of events that are not at hand any more; empty when all are."""
    if not report.absent:
        return ""
    told = number_of(report.absent, "event")
    return f"{told} of this run cannot be read any more, so this report shows less than what was judged."


def wrong_clock(report: RunReport) -> str:
    """Return what to say of a runner whose clock was wrong; empty where it was not."""
    if report.clock_claimed is None:
        return ""
    claimed = f"{report.clock_claimed:%Y-%m-%d %H:%M} UTC"
    return f"The clock of a runner was wrong: by it the run started at {claimed}. It counts from when it was heard of."


def rules(found: Iterable[RuleEvaluated]) -> list[tuple[RuleEvaluated, str]]:
    """Return every rule with its state (failed, warning, skipped, passed), what needs a reader first."""
    order = ("failed", "warning", "skipped", "passed")
    told = [(rule, _rule_state(rule)) for rule in found]
    return sorted(told, key=lambda entry: order.index(entry[1]))


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
    """Return how many results a producer gave."""
    of = f" of {producer.collected:,}" if producer.collected is not None else ""
    lost = f", {producer.dropped:,} lost" if producer.dropped else ""
    return f"{producer.reported:,}{of}{lost}"


def joined(parts: Iterable[str | None], separator: str = " · ") -> str:
    """Return the parts that there are, in one line."""
    return separator.join(part for part in parts if part)


def _rule_state(rule: RuleEvaluated) -> str:
    if rule.outcome == "failed":
        return "warning" if rule.severity == "warn" else "failed"
    return rule.outcome if rule.outcome == "passed" else "skipped"
