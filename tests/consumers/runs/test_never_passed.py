"""A run is never given `passed` while one of its events is missing: whatever comes, gets lost, comes twice, or late."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from testbus_broker.errors import BrokerError
from testbus_consumers.gates import CONSUMER as GATES
from testbus_consumers.records import keeping
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.runs import completeness, producers
from testbus_consumers.runtime.delivery import Delivery
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import GateEvaluated, encode
from testbus_schemas.identity import new_id
from tests.consumers.runs.plans import Plan, missing, plans, producer_of
from tests.consumers.runtime.samples import FailingPublisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from testbus_consumers.store.run_key import RunKey
    from testbus_schemas import Event, EventData

pytestmark = pytest.mark.slow

#: Seconds: a lost producer, a silent run, an expected event that never comes.
LOST, DEADLINE, OVERDUE = 40, 600, 61


class Pipeline:
    """`runs` with what has arrived there, and `gates`; any number of runs, one after the other."""

    def __init__(self, folder: Path) -> None:
        """Begin with empty tables."""
        self.runs = ConsumerHarness(RUNS, folder, {"deadline_s": DEADLINE, "producer_deadline_s": LOST})
        self.gates = ConsumerHarness(GATES, folder)
        self.begin([])

    def begin(self, events: list[Event[EventData]]) -> None:
        """Turn to another run, of which these are all events."""
        self.events = events
        # Timers of the runs before it may still go off.
        self.run = events[0].data.context.run if events else ""
        self.arrived: set[str] = set()
        # Revision → what was missing when `runs` decided so: gates may hear of it when a further producer has spoken.
        self.missing: dict[int, set[str]] = {}
        for harness in (self.runs, self.gates):
            kept: Any = harness.policy.publisher
            kept.messages.clear()

    def deliver(self, event: Event[EventData], *, torn: bool = False) -> None:
        """Deliver an event to `runs`; `torn`: what follows cannot be published, and it is delivered once more."""
        _deliver(self.runs, event, torn=torn)
        self.arrived.add(event.id)
        self._note_decisions()

    def decide(self, decision: Event[EventData], *, torn: bool = False) -> None:
        """Deliver a decision to `gates`."""
        _deliver(self.gates, decision, torn=torn)

    @property
    def decisions(self) -> list[Event[EventData]]:
        """Return what `runs` decided of this run, for `gates`."""
        own = (event for event in self.runs.emitted if event.data.context.run == self.run)
        return [event for event in own if event.name in {"run.completed", "run.interrupted"}]

    @property
    def verdicts(self) -> list[GateEvaluated]:
        """Return the verdicts on this run."""
        own = (event.data for event in self.gates.emitted if event.data.context.run == self.run)
        return [data for data in own if isinstance(data, GateEvaluated)]

    def check(self, known: int) -> int:
        """Check the verdicts since the first `known` ones; return how many there are."""
        self._note_decisions()
        verdicts = self.verdicts
        for one in verdicts[known:]:
            if one.verdict == "passed":
                assert self.missing[one.revision] == set(), "passed, although events are missing"
        return len(verdicts)

    def _note_decisions(self) -> None:
        for decision in self.decisions:
            data: Any = decision.data
            self.missing.setdefault(data.revision, missing(self.events, self.arrived))

    def close(self) -> None:
        """Close both."""
        self.runs.close()
        self.gates.close()


def _deliver(harness: ConsumerHarness, event: Event[EventData], *, torn: bool) -> None:
    if torn:
        publisher = harness.policy.publisher
        object.__setattr__(harness.policy, "publisher", FailingPublisher(BrokerError("away")))
        harness.policy.deliver(delivery_of(event))
        object.__setattr__(harness.policy, "publisher", publisher)
    harness.deliver(event)


def delivery_of(event: Event[EventData]) -> Any:
    """Return an event as it is delivered."""
    encoded = encode(event)
    return Delivery(body=encoded.body, content_encoding=encoded.content_encoding, routing_key=event.routing_key)


def told(pipeline: Pipeline) -> dict[str, Any]:
    """Return the latest verdict without what differs between two deliveries of one run."""
    return pipeline.verdicts[-1].model_dump(exclude={"context", "revision"})


def in_order(pipeline: Pipeline, plan: Plan) -> dict[str, Any]:
    """Return the verdict on a run whose events come as they were sent, once each."""
    pipeline.begin(plan.events(new_id()))
    for event in pipeline.events:
        pipeline.deliver(event)
    settle(pipeline)
    return told(pipeline)


def settle(pipeline: Pipeline) -> None:
    """Let every deadline pass, and give the gates what was decided."""
    pipeline.runs.run_timers(DEADLINE + 1)
    for decision in pipeline.decisions:
        pipeline.decide(decision)
    pipeline.gates.run_timers(OVERDUE)


def deliver_at_random(pipeline: Pipeline, plan: Plan, chance: random.Random, lost: float) -> None:
    """Deliver a run in any order, some twice, some torn, some late; check every verdict; then give what was lost."""
    pipeline.begin(plan.events(new_id()))
    known = 0
    # Whole producers get lost too: a machine that is gone, a shard that has not begun.
    silent = {name for name in dict.fromkeys(map(producer_of, pipeline.events)) if chance.random() < lost}
    first: list[Event[EventData]] = []
    late: list[Event[EventData]] = []
    for event in pipeline.events:
        is_late = producer_of(event) in silent or chance.random() < lost / 4
        (late if is_late else first).append(event)
    for batch in (first, late):
        due = batch + [one for one in batch if chance.random() < 0.3]
        chance.shuffle(due)
        for event in due:
            pipeline.deliver(event, torn=chance.random() < 0.1)
            for decision in pipeline.decisions:
                if chance.random() < 0.7:
                    pipeline.decide(decision, torn=chance.random() < 0.1)
            known = pipeline.check(known)
            if chance.random() < 0.05:
                pipeline.runs.run_timers(chance.choice([LOST + 1, DEADLINE + 1]))
                pipeline.gates.run_timers(OVERDUE)
                known = pipeline.check(known)
        settle(pipeline)
        known = pipeline.check(known)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Return one pipeline for many runs."""
    made = Pipeline(tmp_path_factory.mktemp("pipeline"))
    yield made
    made.close()


#: Bounds of one property: examples are whole runs.
BOUNDS = settings(
    max_examples=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@BOUNDS
@given(plan=plans(), seed=st.integers(0, 2**32), lost=st.sampled_from([0.0, 0.1, 0.5]))
def test_never_passed_while_something_is_missing_and_right_in_the_end(
    pipeline: Pipeline, plan: Plan, seed: int, lost: float
) -> None:
    """At every moment; and when all is there, the verdict is that of a delivery in order, however it came."""
    deliver_at_random(pipeline, plan, random.Random(seed), lost)
    found = told(pipeline)
    assert found == in_order(pipeline, plan)


class Life(RuleBasedStateMachine):
    """One run: events in any order and as often as they like, deadlines at any moment, publications that fail."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Live in a pipeline where other runs have lived before."""
        super().__init__()
        self.pipeline = pipeline
        self.plan: Plan | None = None
        self.known = 0

    @initialize(plan=plans())
    def begin(self, plan: Plan) -> None:
        """Begin a run."""
        self.plan = plan
        self.pipeline.begin(plan.events(new_id()))
        self.known = 0

    @rule(which=st.integers(0, 50), torn=st.booleans())
    def an_event_arrives(self, which: int, *, torn: bool) -> None:
        """Any event, also one that was there before."""
        self.pipeline.deliver(self.pipeline.events[which % len(self.pipeline.events)], torn=torn)

    @rule()
    def everything_arrives(self) -> None:
        """Drain the queue."""
        for event in self.pipeline.events:
            self.pipeline.deliver(event)

    @rule(which=st.integers(0, 5), torn=st.booleans())
    def a_decision_arrives(self, which: int, *, torn: bool) -> None:
        """Any decision so far, not only the latest."""
        if decisions := self.pipeline.decisions:
            decision = decisions[which % len(decisions)]
            self.pipeline.decide(decision, torn=torn)

    @rule(at=st.sampled_from(["runs", "gates"]), seconds=st.sampled_from([1, LOST, OVERDUE, DEADLINE]))
    def time_passes(self, at: str, seconds: int) -> None:
        """Deadlines fire."""
        harness: ConsumerHarness = getattr(self.pipeline, at)
        harness.run_timers(seconds)

    @invariant()
    def nothing_is_missing_of_what_passed(self) -> None:
        """Hold every verdict against what has arrived."""
        if self.plan is not None:
            self.known = self.pipeline.check(self.known)

    def teardown(self) -> None:
        """Give everything at last: the verdict is right."""
        if self.plan is None:
            return
        self.everything_arrives()
        settle(self.pipeline)
        self.nothing_is_missing_of_what_passed()
        found = told(self.pipeline)
        assert found == in_order(self.pipeline, self.plan)


def test_never_passed_at_any_moment_of_a_runs_life(pipeline: Pipeline) -> None:
    """The same, with hypothesis choosing what happens next."""
    run_state_machine_as_test(
        lambda: Life(pipeline), settings=settings(BOUNDS, max_examples=15, stateful_step_count=25)
    )  # type: ignore[no-untyped-call]


def _nothing(*_: Any) -> list[str]:
    return []


def _whole_once_declared(_arrived: Any, declared: Any) -> Any:
    return declared.is_not(None)


def _none_is_missing(_event: Any, declared: int, _state: Any) -> int:
    return declared


#: Faults that completeness could have: what is replaced, by what.
FAULTS = {
    "shards that nobody heard of are not missed": [(completeness, "_absent_shards", _nothing)],
    "a farewell is taken for the last event": [
        (completeness, "_unfinished", _nothing),
        (completeness, "_gaps", _nothing),
        (producers, "_is_whole", _whole_once_declared),
        (producers, "_within", _none_is_missing),
    ],
}

#: How the facts of a producer are read.
FACTS = keeping.kept_facts


@pytest.fixture
def statements_made_anew() -> Iterator[None]:
    """Forget the statements that were made before a test, and those that it made."""
    producers._upsert.cache_clear()
    yield
    producers._upsert.cache_clear()


@pytest.mark.usefixtures("statements_made_anew")
@pytest.mark.parametrize("fault", FAULTS)
def test_the_property_finds_faults(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """A property that nothing can break would prove nothing."""
    for module, name, broken in FAULTS[fault]:
        monkeypatch.setattr(module, name, broken)

    @settings(BOUNDS, max_examples=200, database=None, derandomize=True, phases=[Phase.generate])
    @given(plan=plans(), seed=st.integers(0, 2**32))
    def holds(plan: Plan, seed: int) -> None:
        deliver_at_random(pipeline, plan, random.Random(seed), 0.3)

    with pytest.raises(AssertionError, match="passed, although"):
        holds()


def test_the_property_finds_a_record_that_what_came_late_does_not_reach(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Completeness is one half; that the record is of all that is counted is the other."""
    first: dict[tuple[RunKey, str], Any] = {}

    def stale(connection: Connection, key: RunKey, producer: str) -> Any:
        return first.setdefault((key, producer), FACTS(connection, key, producer))

    monkeypatch.setattr(keeping, "kept_facts", stale)

    @settings(BOUNDS, max_examples=200, database=None, derandomize=True, phases=[Phase.generate])
    @given(plan=plans(), seed=st.integers(0, 2**32))
    def holds(plan: Plan, seed: int) -> None:
        deliver_at_random(pipeline, plan, random.Random(seed), 0.5)
        assert told(pipeline) == in_order(pipeline, plan), "another verdict"

    with pytest.raises(AssertionError, match="another verdict"):
        holds()
