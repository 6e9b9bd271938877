"""Migrations: what they make is what the tables say, however often and from however many processes they are run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, MetaData, Table, Text, inspect, text

from testbus_consumers.errors import StateError
from testbus_consumers.gates import CONSUMER as GATES
from testbus_consumers.registry import BUILT_IN, load_consumer
from testbus_consumers.runtime import Consumer
from testbus_consumers.settings import Section
from testbus_consumers.store import open_store
from testbus_consumers.store.engine import schema_name
from testbus_consumers.store.migrate import VERSION_TABLE, pending, upgrade
from testbus_consumers.store.tables import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_consumers.store import Store


def wanted(consumer: str) -> MetaData:
    """Return the runtime's tables and the consumer's own."""
    both = MetaData()
    for metadata in (METADATA, load_consumer(consumer).metadata):
        for table in metadata.sorted_tables if metadata else ():
            table.to_metadata(both)
    return both


def differences(store: Store, consumer: str) -> list[object]:
    """Return what the database and the tables do not agree on."""
    with store.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        return list(compare_metadata(context, wanted(consumer)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return an empty SQLite store."""
    opened = open_store(f"sqlite:///{tmp_path}", "sample")
    yield opened
    opened.close()


@pytest.mark.parametrize("consumer", sorted(BUILT_IN))
def test_migrations_make_what_the_tables_say(store: Store, consumer: str) -> None:
    """No difference between the migrated schema and the metadata of runtime and consumer."""
    loaded = load_consumer(consumer)
    assert pending(store, loaded)
    assert upgrade(store, loaded)
    assert differences(store, consumer) == []
    assert not pending(store, loaded)


def test_a_difference_would_be_noticed(store: Store) -> None:
    """The comparison itself works: a table that no migration makes is found."""
    upgrade(store)
    kinds = {change[0] for change in differences(store, "runs") if isinstance(change, tuple)}
    assert kinds == {"add_table", "add_index"}


def test_migrating_again_does_nothing(store: Store) -> None:
    """And says so."""
    assert [upgrade(store, GATES) for _ in range(3)] == [True, False, False]


def test_a_schema_of_another_version_is_refused_with_what_to_do(store: Store) -> None:
    """Nothing of it is touched; when it is given up, the past is replayed."""
    upgrade(store, GATES)
    with store.begin() as connection:
        connection.execute(
            text(f"UPDATE {VERSION_TABLE} SET version_num = 'gates_0001' WHERE version_num LIKE 'gates%'")
        )
    with pytest.raises(
        StateError, match=r"sample\.sqlite3 was made by another version .*delete the file.*replay gates"
    ):
        upgrade(store, GATES)
    with store.begin() as connection:
        assert "verdict" in inspect(connection).get_table_names()


def test_workers_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    """One does it, and the others wait for that."""
    stores = [open_store(f"sqlite:///{tmp_path}", "sample") for _ in range(4)]
    with ThreadPoolExecutor(4) as workers:
        done = list(workers.map(lambda one: upgrade(one, GATES), stores))
    assert sorted(done) == [False, False, False, True]
    for one in stores:
        one.close()


def test_state_files_are_private(tmp_path: Path) -> None:
    """They hold what failing tests printed."""
    store = open_store(f"sqlite:///{tmp_path / 'state'}", "reportportal.eu")
    upgrade(store)
    with store.begin() as connection:
        assert VERSION_TABLE in inspect(connection).get_table_names()
        found = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
    assert found["reportportal.eu.sqlite3"] == 0o600
    assert set(found.values()) == {0o600}
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    store.close()


def test_no_two_queues_share_a_schema() -> None:
    """On PostgreSQL each queue has a schema of its own, whatever it is called; plain names stay plain."""
    queues = ["gates", "reportportal.eu", "reportportal_eu", "reportportal-eu", "a.b-c", "a.b_c", "a-b.c", "x" * 80]
    queues += ["x" * 81, "reportportal.eu-west"]
    schemas = {queue: schema_name(queue) for queue in queues}
    assert len(set(schemas.values())) == len(queues)
    assert max(map(len, schemas.values())) <= 63
    assert (schemas["gates"], schemas["reportportal.eu"]) == ("testbus_gates", "testbus_reportportal_eu")


def test_a_consumer_without_revisions_gets_its_tables(store: Store) -> None:
    """So that one of your own is one file; what is there is left as it is."""
    metadata = MetaData()
    Table("note", metadata, Column("text", Text))
    consumer = Consumer(name="sample", settings=Section, handlers={}, metadata=metadata)
    assert [upgrade(store, consumer), pending(store, consumer), upgrade(store, consumer)] == [True, False, False]
    with store.begin() as connection:
        assert "note" in inspect(connection).get_table_names()
    Table("later", metadata, Column("text", Text))
    assert pending(store, consumer)
