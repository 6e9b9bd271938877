"""What counts: which tests, which attempts, which lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from testbus_schemas import Event, EventData, ResultsRecorded
from tests.consumers.gates.judged import COVERAGE, PASS_RATE

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.consumers.gates.judged import Judged

    Judge = Callable[..., Judged]


def test_tests_left_out_on_purpose_are_not_run_and_a_dead_producers_are_not_reported(judge: Judge) -> None:
    """After -x the rest was not run, which says nothing; of a producer that died nobody knows, which is bad."""
    judged = judge()
    stopped, died = FakeProducer("p1", variant="a"), FakeProducer("p2", variant="b")
    judged.deliver(stopped.started(), died.started())
    judged.deliver(stopped.collected("test_a", "test_b"), stopped.results(test_a="passed"), stopped.finished())
    judged.deliver(died.collected("test_c", "test_d"), died.results(test_c="passed"), died.finished("crashed"))
    assert judged.verdict.counts == {"not_reported": 1, "not_run": 1, "passed": 2}
    assert [(failure.node_id, failure.outcome) for failure in judged.verdict.failures] == [("test_d", "not_reported")]
    assert judged.verdict.rules[0].message.startswith("pass_rate 66.66 %")


@pytest.mark.parametrize(
    ("account", "verdict", "counts", "reason"),
    [
        ({"exit_status": 0, "failed": 0}, "passed", {"not_run": 1, "passed": 1}, ""),
        # pytest-cov's --cov-fail-under, or a plugin that only changes the status: no test is to blame.
        ({"exit_status": 1, "failed": 0, "failures": 0, "left_out": 0}, "passed", {"not_run": 1, "passed": 1}, ""),
        (
            {"exit_status": 1, "failed": 0, "left_out": 1, "stopped": "session-timeout: 1.0 sec exceeded"},
            "incomplete",
            {"not_run": 1, "passed": 1},
            "it stopped before 1 of 2 tests had run: session-timeout: 1.0 sec exceeded",
        ),
        (
            {"exit_status": 2, "failed": 0, "left_out": 1},
            "incomplete",
            {"not_run": 1, "passed": 1},
            "it stopped before 1 of 2 tests had run: exit status 2",
        ),
        (
            {"exit_status": 1, "failed": 0, "failures": 3},
            "incomplete",
            {"not_run": 1, "passed": 1},
            "its test runner counts 3 failures, and no result says so",
        ),
        (
            {"exit_status": 0, "failed": 0, "faults": 1},
            "incomplete",
            {"not_reported": 1, "passed": 1},
            "testbus itself failed 1 times: results may be missing",
        ),
    ],
)
def test_a_producer_that_contradicts_its_test_runner_is_never_passed(
    judge: Judge, account: dict[str, Any], verdict: str, counts: dict[str, int], reason: str
) -> None:
    """Results look better than what the runner says of itself: something is missing, and the verdict names it."""
    judged, producer = judge(), FakeProducer()
    judged.deliver(producer.started(), producer.collected("test_a", "test_b"), producer.results(test_a="passed"))
    judged.deliver(producer.finished(collected=2, **account))
    assert judged.verdict.verdict.value == verdict
    assert judged.verdict.counts == counts
    assert judged.verdict.reasons[:1] == ((f"producer p1 (attempt 1): {reason}",) if reason else ())


def test_a_failed_test_explains_what_was_left_out(judge: Judge) -> None:
    """-x after a failure: the verdict is failed, and not incomplete."""
    judged, producer = judge(), FakeProducer()
    judged.deliver(producer.started(), producer.collected("test_a", "test_b"), producer.results(test_a="failed"))
    told = {"failures": 1, "failed": 1, "left_out": 1, "stopped": "stopping after 1 failures"}
    judged.deliver(producer.finished(collected=2, exit_status=1, **told))
    assert judged.verdict.verdict.value == "failed"
    assert judged.verdict.counts == {"failed": 1, "not_run": 1}


@pytest.mark.parametrize(
    ("outcomes", "rate"),
    [
        ({"a": "passed", "b": "xfailed", "c": "xpassed"}, 100.0),
        ({"a": "passed", "b": "skipped"}, 100.0),
        ({"a": "passed", "b": "failed", "c": "skipped", "d": "skipped"}, 50.0),
        ({"a": "passed", "b": "error"}, 50.0),
        ({"a": "passed", "b": "timeout", "c": "passed", "d": "passed"}, 75.0),
        ({"a": "passed", "b": "an outcome of the future"}, 50.0),
        ({"a": "skipped"}, None),
        ({}, None),
    ],
)
def test_what_counts_into_the_pass_rate(judge: Judge, outcomes: dict[str, str], rate: float | None) -> None:
    """Expected failures pass, skipped tests are not counted, and what is not known to be good is bad."""
    judged = judge()
    producer = FakeProducer()
    judged.deliver(producer.results(**outcomes), producer.finished())
    (rule,) = judged.verdict.rules
    assert rule.value == rate
    assert rule.outcome == ("passed" if rate == 100.0 else "failed")


def test_a_run_without_tests_does_not_pass(judge: Judge) -> None:
    """Nothing ran: a broken collection must not look like success."""
    judged = judge()
    judged.deliver(FakeProducer().finished())
    assert judged.verdict.verdict == "failed"
    assert judged.verdict.reasons == ("pass_rate nothing measured, below 100 %: no test ran",)


def test_the_last_attempt_of_a_test_counts(judge: Judge) -> None:
    """A test that passes when it is run again has passed; the order of the events does not matter."""
    for order in (1, -1):
        judged = judge()
        producer = FakeProducer()
        first, second = producer.results(test_a="failed"), producer.results(test_a="passed")
        assert isinstance(second.data, ResultsRecorded)
        again = second.data.results[0].model_copy(update={"attempt": 2})
        second = second.model_copy(update={"data": second.data.model_copy(update={"results": (again,)})})
        judged.deliver(*[first, second][::order], producer.finished())
        assert judged.verdict.verdict == "passed"
        assert judged.verdict.total == 1


def test_two_variants_both_count(judge: Judge) -> None:
    """The same test in two environments is two tests: one failure fails the run."""
    judged = judge()
    old, new = FakeProducer("p1", variant="3.11"), FakeProducer("p2", variant="3.12")
    judged.deliver(old.started(), new.started())
    judged.deliver(new.results(test_a="passed"), old.results(test_a="failed"), new.finished(), old.finished())
    assert judged.verdict.counts == {"failed": 1, "passed": 1}
    assert [failure.variant for failure in judged.verdict.failures] == ["3.11"]


def test_two_producers_in_one_place_both_count(judge: Judge) -> None:
    """When a job runs pytest twice, the second session's success does not hide the first one's failure."""
    for names in (("p1", "p2"), ("p2", "p1")):
        judged = judge()
        first, second = (FakeProducer(name) for name in names)
        judged.deliver(first.started(), second.started(), first.results(test_a="failed"))
        judged.deliver(second.results(test_a="passed"), first.finished(), second.finished())
        assert judged.verdict.counts == {"failed": 1, "passed": 1}


def test_superseded_attempts_do_not_count(judge: Judge) -> None:
    """Neither results nor coverage nor collected tests of an attempt that the CI ran again."""
    judged = judge(PASS_RATE, COVERAGE)
    first = FakeProducer("p1", attempt=1)
    second = FakeProducer("p2", attempt=2)
    judged.deliver(
        first.collected("test_a", "test_gone"),
        first.results(test_a="failed"),
        first.coverage("shop.py", "1-10", "1-10"),
        second.collected("test_a"),
        second.results(test_a="passed"),
        second.coverage("shop.py", "1-10", "1-8"),
        second.finished(),
    )
    assert judged.verdict.verdict == "passed"
    assert judged.verdict.counts == {"passed": 1}
    assert judged.verdict.rules[1].value == 80.0


def shards(*executed: str) -> list[Event[EventData]]:
    """Return the events of shards that each ran some lines of the same file."""
    events = []
    for index, lines in enumerate(executed, start=1):
        producer = FakeProducer(f"p{index}", shard={"index": index, "total": len(executed)})
        events += [
            producer.results(**{f"test_{index}": "passed"}),
            producer.coverage("shop.py", "1-10", lines),
            producer.coverage(f"only_{index}.py", "1-2", "1"),
            producer.finished(),
        ]
    return events


def test_coverage_of_shards_is_their_union(judge: Judge) -> None:
    """A line that any shard ran is covered once, and a file that only one saw counts as well."""
    judged = judge(COVERAGE)
    judged.deliver(*shards("1-4", "3-6", "10"))
    (rule,) = judged.verdict.rules
    # shop.py: 1-6 and 10 of 10 lines; three files with 1 of 2.
    assert rule.message == "coverage 62.5 %, below 80 %: 10 of 16 covered"


def test_coverage_that_nobody_recorded_fails_its_rule(judge: Judge) -> None:
    """A forgotten --cov must not look like full coverage."""
    judged = judge(COVERAGE)
    judged.deliver(*FakeProducer().whole(test_a="passed"))
    assert judged.verdict.reasons == (
        "coverage nothing measured, below 80 %: no coverage was recorded: run pytest with --cov, or drop the rule",
    )


@pytest.mark.parametrize(
    ("executed", "minimum", "told"),
    [
        ("1-99999", 100, "coverage 99.99 %, below 100 %"),
        ("1-4350", 4.36, "coverage 4.35 %, below 4.36 %"),
        ("1-4350", 4.35, "coverage 4.35 %, at least 4.35 %"),
        ("1-29000", 29, "coverage 29 %, at least 29 %"),
        ("1-66666", 66.67, "coverage 66.66 %, below 66.67 %"),
    ],
)
def test_a_percentage_never_rounds_up_to_the_threshold_it_missed(
    judge: Judge, executed: str, minimum: float, told: str
) -> None:
    """Two decimals, cut and not rounded; what is reached exactly is reached."""
    judged = judge({"rule": "coverage", "minimum": minimum})
    producer = FakeProducer()
    judged.deliver(producer.coverage("big.py", "1-100000", executed), producer.finished())
    (rule,) = judged.verdict.rules
    assert rule.message.startswith(told)
    assert rule.value is not None
    assert (rule.value >= minimum) == (rule.outcome == "passed")
