"""What is reported of something that became worse, and of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_consumers.wording import numbers, runs, text
from testbus_consumers.wording.notice import Bullets, Line, Notice, Span, Tone, code, linked
from testbus_schemas import RegressionKind

if TYPE_CHECKING:
    from testbus_consumers.wording.notice import Block
    from testbus_schemas import RegressionDetected, RegressionRecovered, RunReference

#: Tests that a message names.
_TESTS: Final = 3

#: Component that stands for all of the code.
_TOTAL: Final = "total"


def detected(data: RegressionDetected, *, alone: bool = False) -> Notice:
    """Return the message of something that became worse; `alone`: without the run's own message above it."""
    sign = "🎲" if data.kind is RegressionKind.TEST_FLAKY else "📉"
    listed = data.kind is RegressionKind.TEST_FAILED and data.total > 1
    return Notice(
        tone=Tone.BAD,
        sign=sign,
        headline=(*_of(data, alone=alone), *worse(data)),
        body=_tests(data) if listed else (),
        facts=runs.facts(data.context, runs.Whereabouts()) if alone else (),
    )


def recovered(data: RegressionRecovered, *, alone: bool = False) -> Notice:
    """Return the message of something that is over."""
    return Notice(
        tone=Tone.GOOD,
        sign="🎉",
        headline=(*_of(data, alone=alone), *over(data)),
        facts=runs.facts(data.context, runs.Whereabouts()) if alone else (),
    )


def worse(data: RegressionDetected) -> Line:
    """Return what became worse, since when and why, in one sentence."""
    if data.since_run is None:
        # An older version's event: its own sentence is all there is.
        return (Span(text.one_line(data.message, 1500)),)
    why = (Span(": "), code(text.one_line(data.example))) if data.example else ()
    match data.kind:
        case RegressionKind.TEST_FAILED:
            example = (Span(", for several causes; for example"), *why) if why and not data.fingerprint else why
            verb = " fails" if data.total == 1 else " fail"
            return (*_named(data), Span(verb), *_since(data.since_run), *_before(data), *example)
        case RegressionKind.COVERAGE_DROPPED:
            fall = f" fell from {_percent(data.baseline_value)} to {_percent(data.value)}"
            return (*_component(data), Span(fall), *_since(data.since_run), *_before(data))
        case RegressionKind.TEST_FLAKY:
            where = (
                (Span("on commit "), code(text.commit(data.since_run.commit)))
                if data.since_run.commit
                else (Span("in "), _run(data.since_run))
            )
            return (*_named(data), Span(" is flaky: it failed and passed "), *where, *why)
    return (Span(text.one_line(data.message, 1500)),)


def over(data: RegressionRecovered) -> Line:
    """Return what is over, and since when it was so."""
    if data.since_run is None:
        return (Span(text.one_line(data.message, 1500)),)
    commit = text.commit(data.context.commit)
    as_of = (Span(" as of commit "), code(commit)) if commit else (Span(" as of "), runs.run_span(data.context))
    match data.kind:
        case RegressionKind.TEST_FAILED:
            verb, before = (
                (" no longer fails", "; it failed") if data.total == 1 else (" no longer fail", "; they failed")
            )
            return (*_named(data), Span(verb), *as_of, Span(before), *_since(data.since_run), *_when(data.since_run))
        case RegressionKind.COVERAGE_DROPPED:
            now = f" is back at {_percent(data.value)}" if data.value is not None else " is not measured any more"
            line = (*_component(data), Span(now), Span("; it was lower"))
            return (*line, *_since(data.since_run), *_when(data.since_run))
        case RegressionKind.TEST_FLAKY:
            why = " is no longer flaky: in the runs that are remembered it did not fail and pass on one commit"
            return (*_named(data), Span(why))
    return (Span(text.one_line(data.message, 1500)),)


def _of(data: RegressionDetected | RegressionRecovered, *, alone: bool) -> Line:
    return (runs.subject(data.context), Span(": ")) if alone else ()


def _named(data: RegressionDetected | RegressionRecovered) -> Line:
    """Return the test by its name, or how many there are."""
    if len(data.tests) != 1 or data.total > 1:
        return (Span(numbers.plural(data.total, "test")),)
    variant = f" ({text.name(data.variant)})" if data.variant else ""
    return (code(text.name(data.tests[0])), Span(variant)) if variant else (code(text.name(data.tests[0])),)


def _tests(data: RegressionDetected) -> tuple[Block, ...]:
    shown = data.tests[:_TESTS]
    items = tuple((code(text.name(test)),) for test in shown)
    return (Bullets(items, left_out=data.total - len(shown)),) if items else ()


def _since(run: RunReference) -> Line:
    commit = text.commit(run.commit)
    return (Span(" since commit "), code(commit)) if commit else (Span(" since "), _run(run))


def _before(data: RegressionDetected) -> Line:
    if data.baseline is None:
        return ()
    how = "compared with " if data.kind is RegressionKind.COVERAGE_DROPPED else "was green in "
    if data.was_green is False:
        how = "did not fail in "
    return (Span(f" ({how}"), _run(data.baseline), Span(")"))


def _when(run: RunReference) -> Line:
    called = (_run(run),) if run.commit else ()
    started = (Span(f"{', ' if called else ''}{run.started_at:%Y-%m-%d %H:%M} UTC"),) if run.started_at else ()
    return (Span(" ("), *called, *started, Span(")")) if called or started else ()


def _run(run: RunReference) -> Span:
    return linked(text.run(run.run, run.number), run.build_url)


def _component(data: RegressionDetected | RegressionRecovered) -> Line:
    return (Span("Coverage" if data.subject == _TOTAL else f"Coverage of {text.name(data.subject)}"),)


def _percent(value: float | None) -> str:
    return "unknown" if value is None else numbers.percent(value)
