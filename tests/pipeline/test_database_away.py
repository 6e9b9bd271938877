"""A PostgreSQL that answers and does not serve: every event waits, none is given up, and all are done afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import make_url, text

from harness.private_postgresql import PrivatePostgreSQL, libpq
from harness.processes import ServiceMissingError
from harness.support import wait_until
from testbus_consumers.runtime import Done, Outcome, State, state
from testbus_consumers.runtime.background import Sweeper
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_schemas import Event, ResultsRecorded
from tests.consumers.runtime.samples import an_event, delivery, harness_of, note, notes, sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_consumers.testing import ConsumerHarness

#: Account of the workers: an ordinary one, which a DBA can take rights from.
ACCOUNT = "workers"

#: What a DBA, or a failover, does to the server, and what puts it right.
FAULTS = {
    "a standby after a failover": (
        "ALTER DATABASE state SET default_transaction_read_only = on",
        "SET default_transaction_read_only = off; ALTER DATABASE state RESET default_transaction_read_only",
    ),
    "no right to write": (
        "REVOKE INSERT, UPDATE ON ALL TABLES IN SCHEMA testbus_sample FROM workers",
        "GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA testbus_sample TO workers",
    ),
    "no right to see the schema": (
        "REVOKE ALL ON SCHEMA testbus_sample FROM workers",
        "GRANT ALL ON SCHEMA testbus_sample TO workers",
    ),
    "no connection left": ("ALTER ROLE workers CONNECTION LIMIT 0", "ALTER ROLE workers CONNECTION LIMIT -1"),
    "no log-in": ("ALTER ROLE workers NOLOGIN", "ALTER ROLE workers LOGIN"),
    "no connections to the database": (
        "ALTER DATABASE state ALLOW_CONNECTIONS false",
        "ALTER DATABASE state ALLOW_CONNECTIONS true",
    ),
}

#: Limits of time, which bite while another session holds the table.
TIMEOUTS = ("statement_timeout", "lock_timeout")

#: A text of 16 KB that is not to be compressed.
LONG = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) AS n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgreSQL]:
    """Give a server of our own with a database for an ordinary account."""
    try:
        server = PrivatePostgreSQL(tmp_path_factory.mktemp("postgresql"))
    except ServiceMissingError as error:
        pytest.skip(f"service missing: {error}")
    server.start()
    for statement in (f"CREATE ROLE {ACCOUNT} LOGIN", f"CREATE DATABASE state OWNER {ACCOUNT}"):
        ask(server, statement, "postgres")
    yield server
    server.stop()


@pytest.fixture
def harness(server: PrivatePostgreSQL, tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Give a consumer that keeps a row of each event."""
    url = make_url(server.url).set(username=ACCOUNT, database="state")
    with harness_of(sample({ResultsRecorded: state(keep)}), tmp_path, url.render_as_string()) as made:
        yield made
    ask(server, "DROP SCHEMA testbus_sample CASCADE")


def keep(event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
    """Keep the event."""
    note(state, event.id)
    return Done()


def ask(server: PrivatePostgreSQL, statement: str, database: str = "state") -> None:
    """Run statements as the server's administrator."""
    url = make_url(server.url).set(database=database).render_as_string()
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        for one in statement.split("; "):
            connection.execute(one)


def cut_off(server: PrivatePostgreSQL) -> None:
    """End the workers' sessions: what holds for new ones only is felt."""
    ask(server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ACCOUNT}'", "postgres")


@contextmanager
def holding(server: PrivatePostgreSQL, table: str) -> Iterator[None]:
    """Hold a table, so that whoever wants to write it waits."""
    url = make_url(server.url).set(database="state").render_as_string()
    with psycopg.connect(libpq(url)) as connection:
        connection.execute(f"LOCK TABLE testbus_sample.{table}")
        yield


def try_often(harness: ConsumerHarness, event: Event[Any], times: int = 6) -> list[Delay]:
    """Deliver an event as often as it takes to give it up, were the attempts counted."""
    delays: list[Delay] = []
    for _ in range(times):
        before = delays[-1] if delays else None
        again = delivery(event, attempt=before.attempt if before else 0, delays=before.delays if before else 0)
        settlement = harness.policy.deliver(again)
        assert isinstance(settlement, Delay), settlement
        delays.append(settlement)
    return delays


@pytest.mark.parametrize("name", FAULTS)
def test_no_event_is_given_up_for_the_database(server: PrivatePostgreSQL, harness: ConsumerHarness, name: str) -> None:
    """However often it is tried meanwhile; once the server serves, it is done, and what it led to is there once."""
    away, back = FAULTS[name]
    event = an_event()
    try:
        ask(server, away, "postgres" if "DATABASE" in away else "state")
        cut_off(server)
        assert [delay.attempt for delay in try_often(harness, event)] == [0] * 6
    finally:
        ask(server, back, "postgres" if "DATABASE" in back else "state")
    wait_until(lambda: harness.policy.deliver(delivery(event)) == Acknowledge(), 10, "the event is done")
    assert notes(harness) == [event.id]


@pytest.mark.parametrize("setting", TIMEOUTS)
def test_no_event_is_given_up_for_a_limit_of_time(
    server: PrivatePostgreSQL, harness: ConsumerHarness, setting: str
) -> None:
    """A statement, a lock or a transaction that took longer than a DBA allows takes less another time."""
    event = an_event()
    ask(server, f"ALTER ROLE {ACCOUNT} SET {setting} = '50ms'")
    try:
        cut_off(server)
        with holding(server, "note"):
            assert [delay.attempt for delay in try_often(harness, event)] == [0] * 6
    finally:
        ask(server, f"ALTER ROLE {ACCOUNT} RESET {setting}")
    wait_until(lambda: harness.policy.deliver(delivery(event)) == Acknowledge(), 10, "the event is done")


def test_a_session_that_may_only_read_is_left(harness: ConsumerHarness) -> None:
    """After a failover the address leads to the new primary, but only who connects anew gets there."""
    with harness.policy.store.begin() as connection:
        connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
    event = an_event()
    assert isinstance(harness.policy.deliver(delivery(event)), Delay)
    assert harness.policy.deliver(delivery(event)) == Acknowledge()


def test_timers_outlive_it(server: PrivatePostgreSQL, harness: ConsumerHarness) -> None:
    """The threads that run them go on when the database serves again."""
    sweeper = Sweeper(harness.policy, harness)
    sweeper.start()
    try:
        ask(server, FAULTS["a standby after a failover"][0])
        cut_off(server)
        assert isinstance(harness.policy.deliver(delivery(an_event())), Delay)
    finally:
        ask(server, FAULTS["a standby after a failover"][1])
    wait_until(lambda: pruning_is_set(harness), 15, "the first timer is set")
    assert sweeper.alive
    sweeper.stop(5)


def pruning_is_set(harness: ConsumerHarness) -> bool:
    """Tell whether the sweeper has set the timer that every queue has."""
    with harness.policy.store.begin() as connection:
        return connection.execute(text("SELECT count(*) FROM testbus_job")).scalar_one() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO note (text) VALUES (NULL)",
        "INSERT INTO note (text) VALUES ((1/0)::text)",
        "SELECT 'x'::integer",
        # Longer than an index takes.
        f"CREATE TEMP TABLE t (a text UNIQUE); INSERT INTO t {LONG}",
    ],
)
def test_what_it_refuses_of_an_event_is_given_up(server: PrivatePostgreSQL, tmp_path: Path, statement: str) -> None:
    """A value out of range, a violated constraint, a limit: the same event will be refused again."""

    def handle(_event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
        for one in statement.split("; "):
            state.execute(text(one))
        return Done()

    url = make_url(server.url).set(username=ACCOUNT, database="state")
    with harness_of(sample({ResultsRecorded: state(handle)}), tmp_path, url.render_as_string()) as made:
        steps = len(made.policy.delay_steps)
        assert isinstance(made.policy.deliver(delivery(an_event(), attempt=steps, delays=steps)), DeadLetter)
    ask(server, "DROP SCHEMA testbus_sample CASCADE")
