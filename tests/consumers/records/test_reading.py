"""What the record says of a run, against a naive reading of its events: in any order, with reruns and variants."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.events import FakeProducer
from testbus_consumers.records.coverage import merge_coverage
from testbus_consumers.records.parts import MAX_TEXTS
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import (
    CoverageRecorded,
    Event,
    EventData,
    Failure,
    ProducerFinished,
    Result,
    ResultsRecorded,
    RunCompleted,
    RunInterrupted,
    TestsCollected,
    fingerprint,
)
from testbus_schemas.identity import new_id
from tests.consumers.runs.plans import Plan, plans, producer_of

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from testbus_consumers.records.reading import Record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsumerHarness]:
    """Return a `runs` for many runs."""
    with ConsumerHarness(RUNS, tmp_path_factory.mktemp("records")) as made:
        yield made


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsumerHarness]:
    """Return another `runs`, to which the same comes in another order."""
    with ConsumerHarness(RUNS, tmp_path_factory.mktemp("others")) as made:
        yield made


def decided(runs: ConsumerHarness, run: str) -> tuple[Record, Any]:
    """Return the record of the latest decision about a run, and what that says."""
    decisions = [event.data for event in runs.emitted if isinstance(event.data, RunCompleted | RunInterrupted)]
    latest = max((one for one in decisions if one.context.run == run), key=lambda one: one.revision)
    assert runs.policy.records is not None
    return runs.policy.records.open(latest.context, latest.revision), latest


def naive(events: list[Event[EventData]]) -> dict[tuple[str, str, str], tuple[str, str]]:
    """Return variant, producer and test → outcome and cause, of the producers that no later attempt replaced."""
    highest: dict[tuple[str, int], int] = defaultdict(int)
    for event in events:
        context = event.data.context
        place = context.variant, context.shard_index
        highest[place] = max(highest[place], context.attempt)
    words: dict[tuple[str, str, str], tuple[int, str, str]] = {}
    said_goodbye = {}
    for event in events:
        data, context, producer = event.data, event.data.context, producer_of(event)
        if context.attempt < highest[context.variant, context.shard_index]:
            continue
        if isinstance(data, ProducerFinished):
            said_goodbye[producer] = data.status.value in {"finished", "interrupted"}
        if isinstance(data, TestsCollected):
            for name in data.node_ids:
                words.setdefault((context.variant, producer, name), (0, "", ""))
        if isinstance(data, ResultsRecorded):
            for result in data.results:
                key = context.variant, producer, result.node_id
                cause = fingerprint(result.failures[0]) if result.failures else ""
                if result.attempt > words.get(key, (0,))[0]:
                    words[key] = result.attempt, result.outcome.value, cause
    silent = {True: "not_run", False: "not_reported"}
    return {key: (outcome or silent[said_goodbye[key[1]]], cause) for key, (_, outcome, cause) in words.items()}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=plans(), order=st.randoms(use_true_random=False))
def test_the_record_says_what_the_events_say(
    runs: ConsumerHarness, others: ConsumerHarness, plan: Plan, order: random.Random
) -> None:
    """Counts, failures, causes and coverage; the same digest in another order, with duplicates."""
    events = plan.events(new_id())
    expected = naive(events)
    digests = set()
    for harness in (runs, others):
        due = [*events, *order.sample(events, len(events) // 3)]
        order.shuffle(due)
        harness.deliver(*due)
        harness.run_timers(1000)
        record, decision = decided(harness, events[0].data.context.run)
        digests.add(record.digest)
        counts = Counter(outcome for outcome, _ in expected.values())
        assert record.counts == decision.counts == counts
        assert (record.total, decision.total, decision.record.digest) == (len(expected), len(expected), record.digest)
        ended = {(one.variant, one.producer, one.node_id): one.outcome.value for one in record.tests()}
        assert ended == {key: outcome for key, (outcome, _) in expected.items()}
        bad = {key: cause for key, (outcome, cause) in expected.items() if outcome in {"failed", "not_reported"}}
        assert {(one.variant, one.producer, one.node_id): one.fingerprint for one in record.failures()} == bad
        tests = Counter(cause for cause in bad.values() if cause)
        assert [(one.fingerprint, len(one.tests)) for one in record.causes()] == sorted(
            tests.items(), key=lambda one: (-one[1], one[0])
        )
        for cause in record.causes():
            failed = {(one.variant, one.producer, one.node_id) for one in cause.tests}
            assert failed == {key for key, known in bad.items() if known == cause.fingerprint}
        counting = {one.id for one in record.producers if one.counts}
        assert record.coverage() == merge_coverage(
            file.model_dump()
            for event in events
            if isinstance(event.data, CoverageRecorded) and producer_of(event) in counting
            for file in event.data.files
        )
    assert len(digests) == 1


def test_a_test_that_passed_in_the_end_failed_for_no_cause(runs: ConsumerHarness) -> None:
    """Its attempts are there all the same: that is what tells of flakiness."""
    run = new_id()
    producer = FakeProducer(run, run=run)
    failure = Failure(type="KeyError", message="'gold'", text="…")
    tried = [
        Result(node_id="test_a", attempt=1, outcome="failed", failures=(failure,), duration_s=1),
        Result(node_id="test_a", attempt=2, outcome="passed", duration_s=2),
        Result(node_id="test_b", outcome="failed", failures=(failure,), duration_s=3),
        Result(node_id="test_c", outcome="passed"),
    ]
    runs.deliver(producer._event(ResultsRecorded, results=tuple(tried)), producer.finished())
    record, _ = decided(runs, run)
    (cause,) = record.causes()
    assert (cause.type, cause.message, cause.text, [one.node_id for one in cause.tests]) == (
        "KeyError",
        "'gold'",
        "…",
        ["test_b"],
    )
    assert [(one.node_id, one.attempt, one.last, one.outcome.value, one.seconds) for one in record.attempts()] == [
        ("test_a", 1, False, "failed", 1.0),
        ("test_a", 2, True, "passed", 2.0),
        ("test_b", 1, True, "failed", 3.0),
    ]
    assert record.tests_s == 5.0


def test_a_cause_shows_a_text_if_any_producer_kept_one(runs: ConsumerHarness) -> None:
    """A producer with too many causes leaves out the texts of its smallest; another may have it."""
    run = new_id()
    failures = [Failure(type=f"E{number}", message="broken", text=f"text {number}") for number in range(MAX_TEXTS + 9)]
    left_out = sorted(failures, key=fingerprint)[MAX_TEXTS:]
    for name, those in (("a", failures), ("z", left_out)):
        producer = FakeProducer(f"{run[-8:]}-{name}", run=run)
        results = [
            Result(node_id=f"test_{name}_{number:03}", outcome="failed", failures=(failure,))
            for number, failure in enumerate(those)
        ]
        batches = [tuple(results[start : start + 100]) for start in range(0, len(results), 100)]
        runs.deliver(*(producer._event(ResultsRecorded, results=batch) for batch in batches), producer.finished())
    record, _ = decided(runs, run)
    causes = {cause.type: cause.text for cause in record.causes()}
    assert causes == {f"E{number}": f"text {number}" for number in range(MAX_TEXTS + 9)}


def test_what_a_later_attempt_replaced_is_kept_and_does_not_count(runs: ConsumerHarness) -> None:
    """A rerun of a CI job: the run is what the rerun says, and the first try is there for those who want to know."""
    run = new_id()
    first = FakeProducer(f"{run[-8:]}-1", run=run, attempt=1)
    second = FakeProducer(f"{run[-8:]}-2", run=run, attempt=2)
    runs.deliver(*first.whole(test_a="failed"), *second.whole(test_a="passed"))
    record, _ = decided(runs, run)
    assert record.counts == {"passed": 1}
    assert [one.outcome.value for one in record.tests(replaced=True)] == ["failed", "passed"]
    assert [one.node_id for one in record.attempts()] == []
    assert [one.producer for one in record.attempts(replaced=True)] == [first.name]
