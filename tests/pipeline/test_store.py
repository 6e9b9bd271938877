"""The state on PostgreSQL: what tests/consumers says of the runtime on SQLite holds there too, and some more."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from harness.events import FakeProducer
from testbus_consumers.gates import CONSUMER as GATES
from testbus_consumers.registry import BUILT_IN, load_consumer
from testbus_consumers.runtime import Done, Outcome, State, completion, effect, state
from testbus_consumers.runtime.delivery import Acknowledge, Delay
from testbus_consumers.runtime.leases import LEASE_S
from testbus_consumers.store import deliveries, leases, open_store
from testbus_consumers.store.migrate import pending, upgrade
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import Event, ResultsRecorded, encode
from tests.consumers.runtime.samples import NOTE, an_event, count_rows, delivery, harness_of, note, notes, sample

# The same tests, with this module's `make`: on PostgreSQL.
from tests.consumers.runtime.test_completion import (  # noqa: F401
    decision,
    say,
    test_a_redriven_dead_letter_is_counted_once_however_often_it_fails,
    test_a_run_is_complete_here_in_any_order,
    test_an_event_that_is_being_retried_is_waited_for,
    test_once_per_decision_whatever_the_interleaving,
    test_the_record_says_what_there_is_in_any_order,
    test_what_came_too_late_corrects_the_decision,
)
from tests.consumers.runtime.test_effects import (  # noqa: F401
    target,
    test_a_retried_event_does_not_act_again,
    test_a_worker_that_was_away_too_long_gives_up_its_work,
    test_an_answer_that_got_lost_is_asked_for,
    test_equal_keys_are_handled_one_after_the_other,
    test_leases_are_renewed_while_the_work_lasts,
)
from tests.consumers.runtime.test_idempotency import (  # noqa: F401
    test_a_worker_that_dies_between_commit_and_publication_loses_nothing,
    test_duplicates_at_the_same_time_act_once,
    test_duplicates_at_the_same_time_run_the_handler_once,
    test_what_a_broker_did_not_confirm_is_published_when_the_event_comes_again,
)
from tests.consumers.runtime.test_outcomes import (  # noqa: F401
    test_an_event_that_is_not_done_leaves_nothing_behind,
    test_what_a_target_said_is_kept_as_far_as_it_can_be,
    test_what_the_database_refuses_of_an_event_is_that_events_fault,
)
from tests.consumers.runtime.test_timers import (  # noqa: F401
    test_a_dead_workers_timer_is_taken_over,
    test_setting_a_timer_again_replaces_it,
    test_workers_share_the_timers_that_are_due,
)
from tests.consumers.test_migrations import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[..., ConsumerHarness]


@pytest.fixture
def empty(database_url: str) -> Iterator[str]:
    """Give the URL of the database, its schemas of earlier tests removed afterwards."""
    yield database_url
    store = open_store(database_url, "sample")
    with store.begin() as connection:
        schemas = connection.execute(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'testbus%'")).scalars()
        for schema in list(schemas):
            connection.execute(text(f'DROP SCHEMA "{schema}" CASCADE'))
    store.close()


@pytest.fixture
def make(empty: str, tmp_path: Path) -> Iterator[Make]:
    """Return a factory as in tests/consumers/runtime, on PostgreSQL."""
    with ExitStack() as stack:

        def factory(handlers: Any, **more: Any) -> ConsumerHarness:
            harness = stack.enter_context(harness_of(sample(handlers, **more), tmp_path, empty))
            assert harness.policy.store.schema == "testbus_sample"
            return harness

        yield factory


@pytest.mark.parametrize("consumer", sorted(BUILT_IN))
def test_migrations_make_what_the_tables_say(empty: str, consumer: str) -> None:
    """No difference between the migrated schema and the metadata of runtime and consumer."""
    store = open_store(empty, consumer)
    loaded = load_consumer(consumer)
    assert upgrade(store, loaded)
    assert differences(store, consumer) == []
    assert not pending(store, loaded)
    store.close()


def test_workers_that_start_at_once_migrate_once(empty: str) -> None:
    """Also when not even the schema exists."""
    stores = [open_store(empty, "gates") for _ in range(4)]
    with ThreadPoolExecutor(4) as workers:
        done = list(workers.map(lambda one: upgrade(one, GATES), stores))
    assert sorted(done) == [False, False, False, True]
    for one in stores:
        one.close()


def test_two_queues_never_see_each_others_state(empty: str, tmp_path: Path) -> None:
    """The same event is handled by each, although they share a database."""
    handled = []
    for target_name in ("a-b", "a_b"):
        consumer = sample({ResultsRecorded: state(lambda *_: Done())}, targeted=True)
        with ConsumerHarness(consumer, tmp_path, target=target_name, state_url=empty) as harness:
            handled.append(harness.deliver(an_event()))
    assert handled == [Acknowledge(), Acknowledge()]


def test_a_number_that_does_not_fit_is_the_events_fault(make: Make) -> None:
    """PostgreSQL refuses what SQLite would keep: the attempts are counted, and the event is given up."""

    def handle(_event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
        state.execute(text("SELECT CAST(:n AS integer)").bindparams(n="99999999999"))
        return Done()

    harness = make({ResultsRecorded: state(handle)})
    settlement = harness.deliver(an_event())
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 1


def test_events_wait_for_a_migration_that_was_forgotten(make: Make) -> None:
    """A table that is not there is nobody's fault but the operator's: nothing is given up for it."""

    def handle(_event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
        note(state, "x")
        return Done()

    harness = make({ResultsRecorded: state(handle)})
    NOTE.drop(harness.policy.store.engine)
    settlement = harness.deliver(an_event(), attempt=4, delays=9)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 4
    NOTE.create(harness.policy.store.engine)
    assert isinstance(harness.deliver(an_event(), attempt=4, delays=10), Acknowledge)


def test_a_database_that_is_away_costs_no_attempt(make: Make) -> None:
    """Its connections cut while a handler runs: the event is retried, and the next one finds a new connection."""

    def handle(event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
        if event.data.producer and event.data.producer.id == "cut":
            state.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        note(state, "kept")
        return Done()

    harness = make({ResultsRecorded: state(handle)})
    settlement = harness.deliver(an_event("cut"), attempt=4)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 4
    assert isinstance(harness.deliver(an_event("fine")), Acknowledge)
    assert count_rows(harness, NOTE) == 1


@pytest.mark.parametrize("unused_s", [0.0, 10.0], ids=["just used", "long unused"])
def test_a_connection_that_ended_while_nobody_used_it_costs_nothing(
    empty: str, monkeypatch: pytest.MonkeyPatch, unused_s: float
) -> None:
    """As after a restart of the database: the next transaction is made on a new connection, and fails nobody."""
    store, other = open_store(empty, "gates"), open_store(empty, "gates")
    with store.begin() as connection:
        mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with other.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:mine, 5000)"), {"mine": mine})
    started = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: started() + unused_s)
    with store.begin() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != mine
    store.close()
    other.close()


def test_what_is_settled_while_a_decision_is_acted_upon_is_not_overlooked(make: Make) -> None:
    """Neither sees the other's transaction: so whoever acts upon a decision waits for whoever has asked for it."""
    harness = make({ResultsRecorded: state(lambda *_: Done())}, on_complete=state(say))
    event = an_event()
    harness.deliver(decision(event))
    with ThreadPoolExecutor(1) as other:
        with harness.policy.store.begin() as connection:
            deliveries.claim(connection, event, deliveries.Status.DONE, now=harness.policy.clock(), attempts=1)
            settled = {"now": harness.policy.clock(), "dead": False, "was_dead": False}
            completion.note(connection, harness.policy.consumer, event, **settled)
            acting = other.submit(harness.run_timers, 2 * completion.OVERDUE_S)
            with pytest.raises(TimeoutError):
                acting.result(1)
        assert acting.result(60) == 1
    assert notes(harness) == ["run-1 #1 complete"]


def test_a_lease_nobody_releases_runs_out(make: Make) -> None:
    """As after a worker's death."""
    harness = make({ResultsRecorded: effect(lambda *_: Done("mine"), key=lambda _event: "key")})
    with harness.policy.store.begin() as connection:
        assert leases.acquire(connection, "key", harness.now.timestamp() - LEASE_S, LEASE_S - 1)
    assert harness.policy.deliver(delivery(an_event())) == Acknowledge("mine")


def test_gates_keep_what_tests_print(empty: str, tmp_path: Path) -> None:
    """PostgreSQL refuses NUL in a text; a test that prints one must not cost the run its verdict."""
    with ConsumerHarness(GATES, tmp_path, state_url=empty) as gates:
        event = FakeProducer().results(test_a="failed")
        assert isinstance(event.data, ResultsRecorded)
        failure = event.data.results[0].failures[0].model_copy(update={"message": "a\0b", "type": "X\0"})
        result = event.data.results[0].model_copy(update={"node_id": "test_\0", "failures": (failure,)})
        odd = event.model_copy(update={"data": event.data.model_copy(update={"results": (result,)})})
        assert isinstance(gates.deliver(odd), Acknowledge)


#: What each consumer with rows of its own needs for being made; none of their targets is there.
SETTINGS: dict[str, dict[str, Any]] = {
    "runs": {},
    "gates": {},
    "regressions": {},
    "requests": {},
    "jira": {"url": "http://127.0.0.1:1", "token": {"env": "NONE"}, "project": "WEB", "branches": ["*"]},
    "slack": {"token": {"env": "NONE"}, "channel": "C0123456", "base_url": "http://127.0.0.1:1"},
    "reportportal": {"endpoint": "http://127.0.0.1:1", "project": "web", "api_key": {"env": "NONE"}},
}


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_nul_costs_no_consumer_an_event(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In the run, the variant, a test's name, a file's, and what a producer says at its end."""
    monkeypatch.setenv("NONE", "x")
    here = "NUL-HERE"
    producer = FakeProducer("p1", run=f"run {here}", variant=here, branch=here, labels={here: here})
    events = [
        producer.started(host=here),
        producer.collected(here),
        producer.results(**{here: "failed"}),
        producer.coverage(here, "1-5", "1-2"),
        producer.finished(detail=here),
    ]
    consumer = load_consumer(name)
    one = "t" if consumer.targeted else None
    with ConsumerHarness(consumer, tmp_path, SETTINGS[name], target=one, state_url=empty) as harness:
        for event in events:
            body = encode(event).body.replace(here.encode(), b"\\u0000")
            settlement = harness.policy.deliver(replace(delivery(event), body=body))
            # Where a target is called there is none.
            assert isinstance(settlement, Acknowledge) or (
                isinstance(settlement, Delay) and settlement.attempt == 0 and "DataError" not in settlement.reason
            ), settlement
