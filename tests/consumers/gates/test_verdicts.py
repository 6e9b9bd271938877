"""The verdict on a run: what was asked for, what was found, and what is missing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from harness.events import FakeProducer
from testbus_consumers.gates.rules import FailedTest, PassRate, RunFacts
from testbus_consumers.testing import run_context
from testbus_schemas import Event, EventData, Outcome, ResultsRecorded
from tests.consumers.gates.judged import COVERAGE, PASS_RATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.consumers.gates.judged import Judged

    Judge = Callable[..., Judged]


def test_a_run_that_keeps_the_rules_has_passed(judge: Judge) -> None:
    """The verdict carries every rule with its value and threshold, and what was counted."""
    judged = judge(PASS_RATE, COVERAGE)
    producer = FakeProducer()
    judged.deliver(
        producer.collected("test_a", "test_b"),
        producer.results(test_a="passed", test_b="passed"),
        producer.coverage("shop.py", "1-10", "1-9"),
        producer.finished(),
    )
    verdict = judged.verdict
    assert verdict.verdict == "passed"
    assert [(rule.rule, rule.outcome, rule.value, rule.threshold, rule.unit) for rule in verdict.rules] == [
        ("pass_rate", "passed", 100.0, 100.0, "%"),
        ("coverage", "passed", 90.0, 80.0, "%"),
    ]
    assert (verdict.counts, verdict.total, verdict.reasons, verdict.failures) == ({"passed": 2}, 2, (), ())


def test_a_broken_rule_fails_the_run_and_says_why(judge: Judge) -> None:
    """Rule, value, threshold and the first tests by name."""
    judged = judge(PASS_RATE, COVERAGE)
    producer = FakeProducer()
    judged.deliver(
        producer.results(test_a="passed", test_b="failed"),
        producer.coverage("shop.py", "1-10", "1-7"),
        producer.finished(),
    )
    verdict = judged.verdict
    assert verdict.verdict == "failed"
    assert verdict.reasons == (
        "pass_rate 50 %, below 100 %: 1 of 2 tests did not pass: test_b",
        "coverage 70 %, below 80 %: 7 of 10 covered",
    )
    (failure,) = verdict.failures
    assert (failure.node_id, failure.outcome, failure.type) == ("test_b", "failed", "ValueError")
    assert failure.message == "test_b is wrong"
    assert failure.fingerprint.startswith("v1:")


def test_an_incomplete_run_is_never_passed(judge: Judge) -> None:
    """However well the tests went that reported, something is missing, and it is named."""
    judged = judge()
    producer = FakeProducer()
    judged.deliver(producer.collected("test_a", "test_b"), producer.results(test_a="passed"))
    judged.deliver(producer.finished("crashed"))
    verdict = judged.verdict
    assert verdict.verdict == "incomplete"
    assert "its process died" in verdict.reasons[0]
    assert verdict.counts == {"not_reported": 1, "passed": 1}


def test_an_incomplete_run_that_breaks_a_rule_is_incomplete(judge: Judge) -> None:
    """What is missing might change the figures, so they do not decide; they are told all the same."""
    judged = judge()
    producer = FakeProducer()
    judged.deliver(producer.results(test_a="failed"), producer.finished("interrupted"))
    assert judged.verdict.verdict == "incomplete"
    assert len(judged.verdict.reasons) == 2


def a_big_run() -> list[Event[EventData]]:
    """Return a run of two variants with two shards each, half of their tests failing."""
    events = []
    for number in range(4):
        producer = FakeProducer(f"p{number}", variant=f"v{number % 2}", shard={"index": 1 + number // 2, "total": 2})
        tests = {f"test_{number}_{index}": "failed" if index % 2 else "passed" for index in range(8)}
        events += [
            producer.collected(*tests),
            producer.results(**tests),
            producer.coverage("a.py", "1-9", f"{number}-{number + 2}"),
            producer.finished(),
        ]
    return events


def test_the_same_events_in_another_order_give_the_same_verdict(judge: Judge) -> None:
    """Also the very same event: consumers of verdicts see nothing new after a replay."""
    seen: set[str] = set()
    told: set[tuple[str, ...]] = set()
    for seed in range(4):
        events = a_big_run()
        # Of each producer the first is heard of first: one that nobody knows of is not waited for.
        first, rest = events[::4], [event for number, event in enumerate(events) if number % 4]
        random.Random(seed).shuffle(rest)
        judged = judge(PASS_RATE, COVERAGE)
        judged.deliver(*first, *rest)
        seen.add(judged.gates.emitted[-1].id)
        told.add(judged.verdicts[-1].reasons)
    assert len(seen) == 1
    assert len(told) == 1


def test_other_rules_make_another_verdict_of_the_same_run(judge: Judge) -> None:
    """The id of a verdict follows from its rules too."""
    events = FakeProducer().whole(test_a="passed")
    ids = []
    for rules in ((), ({"rule": "pass_rate", "minimum": 90},)):
        judged = judge(*rules)
        judged.deliver(*events)
        ids.append(judged.gates.emitted[-1].id)
    assert len(set(ids)) == 2


def test_a_late_shard_corrects_the_verdict(judge: Judge) -> None:
    """First incomplete, then a second verdict with a higher revision."""
    judged = judge()
    judged.deliver(*FakeProducer("p1", shard={"index": 1, "total": 2}).whole(test_a="passed"))
    judged.runs.run_timers(901)
    judged.pass_on()
    judged.deliver(*FakeProducer("p2", shard={"index": 2, "total": 2}).whole(test_b="passed"))
    assert [(one.revision, one.verdict.value) for one in judged.verdicts] == [(1, "incomplete"), (2, "passed")]


def test_a_verdict_names_the_first_failures_and_groups_equal_causes(judge: Judge) -> None:
    """Twenty at most; the message names three."""
    judged = judge()
    producer = FakeProducer()
    judged.deliver(producer.results(**{f"test_{index:02}": "failed" for index in range(30)}), producer.finished())
    assert len(judged.verdict.failures) == 20
    assert len({failure.fingerprint for failure in judged.verdict.failures}) == 1
    assert judged.verdict.reasons[0].endswith("30 of 30 tests did not pass: test_00, test_01, test_02 and 27 more")


def test_a_line_set_that_cannot_be_read_makes_the_run_incomplete_at_once(judge: Judge) -> None:
    """Its event is kept and counted, and the verdict names it; nobody waits for it."""
    judged = judge(COVERAGE)
    producer = FakeProducer()
    judged.deliver(producer.coverage("a.py", "1-5", "three"), *producer.whole(test_a="passed"))
    assert (judged.runs.dead_letters, judged.gates.dead_letters) == ([], [])
    assert judged.verdict.verdict == "incomplete"
    said = "event 1 of producer p1 (coverage.recorded) cannot be used: line set 'three': expected the form 1-5,8,10-12"
    assert judged.verdict.reasons[0].startswith(said)


def test_odd_texts_do_not_stop_a_verdict(judge: Judge) -> None:
    """Tests print NULs, and fail with empty or endless messages."""
    judged = judge()
    producer = FakeProducer()
    event = producer.results(test_a="failed")
    assert isinstance(event.data, ResultsRecorded)
    failures = [
        event.data.results[0].failures[0].model_copy(update={"message": message})
        for message in ("a\0b", "", "\n\n", "x" * 100_000)
    ]
    results = tuple(
        event.data.results[0].model_copy(update={"node_id": f"test_{index}\0", "failures": (failure,)})
        for index, failure in enumerate(failures)
    )
    judged.deliver(event.model_copy(update={"data": event.data.model_copy(update={"results": results})}))
    judged.deliver(producer.finished())
    assert {failure.message for failure in judged.verdict.failures} == {"a\N{REPLACEMENT CHARACTER}b", "", "x" * 500}


def test_a_verdict_counts_its_causes(judge: Judge) -> None:
    """The cause of most tests first, each with an example and how many tests there are; twenty at most."""
    judged = judge()
    producer = FakeProducer()
    judged.deliver(producer.results(**{f"test_{index:02}": "failed" for index in range(30)}), producer.finished())
    (cause,) = judged.verdict.causes
    assert (cause.total, cause.node_id, judged.verdict.causes_total) == (30, "test_00", 1)
    assert cause.fingerprint == judged.verdict.failures[0].fingerprint


def test_a_pass_rate_that_missed_its_minimum_never_reads_as_it() -> None:
    """One failure of many thousand: value and message are below 100 %, for every reader."""
    bad = FailedTest(node_id="test_bad", variant="default", outcome=Outcome.FAILED)
    run = RunFacts(counts={"passed": 29_999, "failed": 1}, failures=(bad,), coverage=())
    rule = PassRate(rule="pass_rate").judge(run_context(), run)
    assert rule.value == 99.9966
    assert rule.message == "pass_rate 99.99 %, below 100 %: 1 of 30,000 tests did not pass: test_bad"
    close = PassRate(rule="pass_rate", minimum=99.99667).judge(run_context(), run)
    assert (close.outcome, close.value) == ("failed", 99.9966)
    assert close.message.startswith("pass_rate 99.99 %, below 99.99667 %")
