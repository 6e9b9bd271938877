"""What a launch in ReportPortal says of its run, one paragraph each: what came of it, and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_consumers.wording import issues, runs, text
from testbus_consumers.wording.notice import Line, Span, code, strong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_schemas import GateEvaluated, RunContext

#: How every paragraph begins that tells what came of a run; what a person writes begins otherwise.
STATES = ("Passed", "Failed", "Incomplete", "Cancelled")


def origin(context: RunContext) -> Line:
    """Return where a run comes from, and how to see all of it."""
    pull = (Span(f"pull request {text.name(context.pull_request)}"),) if context.pull_request else ()
    called = (runs.run_span(context),) if context.run_number or context.build_url else ()
    parts: list[Line] = [
        called,
        (Span(text.name(context.repository or "")),),
        runs.revision(context),
        pull,
        (code(issues.show(context.run)),),
    ]
    return _dotted(parts)


def verdict(data: GateEvaluated) -> Line:
    """Return the verdict, and the rules that failed."""
    run = runs.standing(data)
    broken = [*run.broken("block"), *run.broken("warn")]
    lines = [runs.rule_line(rule) for rule in broken] if not (run.state == "failed" and not run.bad) else []
    lines = [*((Span(text.one_line(reason, 400)),) for reason in run.missing[1:]), *lines]
    state = run.state.capitalize() if run.state.capitalize() in STATES else "Incomplete"
    return _dotted([(strong(state), Span(": "), *runs.finding(run)), *lines])


def incomplete(reasons: Sequence[str]) -> Line:
    """Return what is missing of a run."""
    return (strong("Incomplete"), Span(f": {'; '.join(text.one_line(reason, 400) for reason in reasons)}"))


def _dotted(parts: Sequence[Line]) -> Line:
    kept = [part for part in parts if any(span.text for span in part)]
    return tuple(span for index, part in enumerate(kept) for span in ((Span(" · "), *part) if index else part))
