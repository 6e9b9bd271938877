"""The model: the same report of the same events, in whatever order and however often they come."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from testbus.report import html, markdown, terminal
from testbus.report.build import build
from testbus.report.gather import Gathered
from testbus_schemas import LogRecord, RegressionDetected, Step, decode, encode, fingerprint
from tests.cli.report.samples import REBATE, TIMEOUT, Told, broken_run, failed, passed, report_of, rule


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_events_changes_nothing(seed: int) -> None:
    """Events come in any order, and make an equal report."""
    events = broken_run().events
    shuffled = random.Random(seed).sample(events, len(events))
    assert report_of(shuffled) == report_of(events)


def test_an_event_that_comes_again_changes_nothing() -> None:
    """Equal ids are one event."""
    events = broken_run().events
    assert report_of([*events, *events[::-1]]) == report_of(events)


def test_failures_are_grouped_by_their_cause() -> None:
    """The most frequent cause first; what left no failure text last; each with its issue."""
    report = broken_run().report()
    assert [(cause.type, len(cause.tests)) for cause in report.causes] == [
        ("KeyError", 4),
        ("shop.gateway.GatewayTimeout", 2),
        ("", 2),
    ]
    rebate, gateway, silent = report.causes
    assert rebate.fingerprint == fingerprint(REBATE)
    assert [issue.key for issue in rebate.issues] == ["SHOP-17"]
    assert rebate.raised_at == "shop/orders/rebate.py:17"
    assert not gateway.issues
    assert silent.message == "took too long, and was stopped"


def test_log_records_are_the_text_of_the_log() -> None:
    """In the order of time, those of steps among them, with level and logger."""
    moment = datetime(2026, 11, 20, 11, 13, 26, tzinfo=UTC)
    first, second = (
        LogRecord(time=moment, level="warn", message=text, logger="shop") for text in ("in a step", "after")
    )
    step = Step(name="pay", logs=(first,))
    result = failed("test_a", REBATE).model_copy(
        update={"logs": (second.model_copy(update={"time": moment + timedelta(seconds=1)}),), "steps": (step,)}
    )
    told = Told()
    told.producer("first")
    told.results("first", result)
    (cause,) = report_of(told.events).causes
    assert [(output.name, output.text.splitlines()) for output in cause.tests[0].output] == [
        ("log", ["11:13:26.000000 WARN  shop: in a step", "11:13:27.000000 WARN  shop: after"])
    ]


def test_the_last_attempt_counts_and_the_retry_is_told() -> None:
    """A test that failed and then passed has passed, and is listed with what it failed for before."""
    report = broken_run().report()
    assert report.counts == {"failed": 6, "passed": 562, "skipped": 2, "timeout": 2}
    assert [(test.node_id, test.attempt) for test in report.retried] == [
        ("tests/test_gateway.py::TestPayment::test_capture", 2),
        ("tests/test_gateway.py::TestPayment::test_capture", 2),
    ]
    assert report.retried[0].before == f"{TIMEOUT.type}: {TIMEOUT.message}"


def test_a_superseded_attempt_does_not_count() -> None:
    """What a later CI attempt replaced is listed as replaced, and nothing of it counts."""
    told = Told()
    told.producer("first", attempt=1)
    told.results("first", failed("test_a", REBATE))
    told.coverage("first", shop__a=("1-10", "1-10"))
    told.finished("first", exit_status=1)
    told.producer("second", attempt=2)
    told.results("second", passed("test_a"))
    told.coverage("second", shop__a=("1-10", "1-5"))
    told.finished("second")
    open_ = told.report()
    told.completed(superseded=["first"])
    for report in (open_, told.report()):
        assert report.counts == {"passed": 1}
        assert not report.causes
        assert report.coverage is not None
        assert report.coverage.total.percent == pytest.approx(50)
        assert [(one.id, one.superseded) for one in report.producers] == [("first", True), ("second", False)]


def test_the_latest_revision_holds() -> None:
    """A run that was opened again has no verdict until it gets a new one."""
    told = Told()
    told.producer("p1")
    told.results("p1", passed("test_a"))
    told.finished("p1")
    told.completed()
    told.judged("passed", rule("pass_rate", "all 1 tests passed", "passed"))
    assert told.report().verdict == "passed"
    told.reopened()
    reopened = told.report()
    assert (reopened.life, reopened.verdict) == ("open", None)
    assert reopened.judgement is not None
    assert not reopened.judgement.current
    told.completed(revision=2)
    assert told.report().verdict is None
    told.judged("failed", rule("pass_rate", "below"), revision=2)
    assert (told.report().life, told.report().verdict) == ("completed", "failed")


def test_an_incomplete_run_says_what_is_missing() -> None:
    """Tests of a process that died count as never reported; the reasons are told apart from the rules."""
    told = Told()
    told.producer("p1", shard=(1, 2))
    told.collected("p1", "test_a", "test_b", "test_c")
    told.results("p1", passed("test_a"))
    told.finished("p1", "crashed", exit_status=None)
    reasons = ("producer p1: its process died", "shard 2 of 2 never reported")
    told.completed(reasons=reasons)
    told.judged("incomplete", rule("pass_rate", "pass_rate 33 %, below 100 %"), reasons=reasons)
    report = told.report()
    assert (report.life, report.verdict) == ("interrupted", "incomplete")
    assert report.missing == reasons
    assert report.judgement is not None
    assert report.judgement.missing == reasons
    assert report.counts == {"not_reported": 2, "passed": 1}
    assert [test.node_id for cause in report.causes for test in cause.tests] == ["test_b", "test_c"]


def test_an_open_run_says_what_is_still_to_come() -> None:
    """What may still report is no failure."""
    told = Told()
    told.producer("p1")
    told.collected("p1", "test_a", "test_b", "test_c")
    told.results("p1", passed("test_a"))
    report = told.report()
    assert (report.life, report.verdict, report.pending) == ("open", None, 2)
    assert report.counts == {"passed": 1}
    assert report.finished_at is None


def test_events_that_are_gone_are_counted() -> None:
    """Of a run whose first events the stream dropped, the report says how many are not there."""
    events = broken_run().events
    assert report_of(events).absent == 0
    assert report_of(events[3:]).absent == 3


def test_a_verdict_outlives_the_decision_it_stands_on() -> None:
    """When nothing but the verdict is left, it is still told."""
    report = report_of(event for event in broken_run().events if event.name == "gate.evaluated")
    assert (report.life, report.verdict, report.total) == ("completed", "failed", 0)


def test_nothing_makes_no_report() -> None:
    """A run that nobody heard of has none."""
    assert build(Gathered()) is None


def test_a_regression_marks_its_cause_as_new() -> None:
    """What the consumer of regressions found is told, and its cause is marked."""
    told = broken_run()
    told.decided(
        RegressionDetected(
            context=told.context, kind="test_failed", cause="c1", subject="KeyError", since=told.context.run,
            fingerprint=fingerprint(REBATE), message="4 tests fail since 9f1c2ab: KeyError: 'platinum'", total=4,
        ),
        "regressions",
    )  # fmt: skip
    report = told.report()
    assert [cause.new for cause in report.causes] == [True, False, False]
    assert [change.message for change in report.changes] == ["4 tests fail since 9f1c2ab: KeyError: 'platinum'"]


def test_every_counted_event_is_at_hand_whatever_a_report_makes_of_it() -> None:
    """A test's attachment is no part of the report, and is not missing from it either."""
    told = Told()
    told.producer("first")
    told.results("first", passed("test_a"))
    told.attached("first", "screen.png")
    told.finished("first")
    told.completed()
    assert told.report().absent == 0
    # While one that is not there is missed.
    gone = [event for event in told.events if event.name != "artifact.recorded"]
    assert report_of(gone).absent == 1


def test_a_wrong_clock_is_shown() -> None:
    """With what it said; the run is placed by when it was heard of."""
    received = datetime(2026, 11, 20, 11, 13, 26, tzinfo=UTC)
    ahead = Told(started_at=received + timedelta(days=3650))
    ahead.producer("first")
    ahead.results("first", passed("test_a"))
    events = [decode(encode(event).body, received=received) for event in ahead.events]
    report = report_of(events)
    assert report.started_at == received
    for write in (terminal.write, html.write, markdown.write):
        assert "2036-11-17 11:13 UTC" in write(report)
    assert "clock" not in terminal.write(broken_run().report())
