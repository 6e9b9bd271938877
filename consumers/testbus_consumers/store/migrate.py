"""Migrations: Alembic, one version table per queue, in which the runtime and the consumer have a branch each."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from testbus_consumers.errors import StateError

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

    from testbus_consumers.store.engine import Store

#: Name of the version table in each queue's schema.
VERSION_TABLE: Final = "testbus_version"

#: Where the runtime's own revisions lie.
_RUNTIME: Final = Path(__file__).with_name("migrations")

#: Key of the advisory lock under which PostgreSQL schemas are made: workers start at the same time.
_LOCK: Final = 0x7E57B05


class Tables(Protocol):
    """A consumer, as far as its tables go."""

    @property
    def name(self) -> str:
        """Return its name."""

    @property
    def metadata(self) -> MetaData | None:
        """Return its own tables."""

    @property
    def migrations(self) -> str | None:
        """Return the package that holds its Alembic revisions."""


def upgrade(store: Store, consumer: Tables | None = None) -> bool:
    """Bring a queue's schema up to date: the runtime's tables, and the consumer's.

    A consumer without revisions of its own gets the tables of its metadata that are not there; they are never changed.
    Returns whether anything had to be done. Safe to call from several processes at once. Raises StateError for a schema
    that another version of testbus made, and this one cannot bring up to date.
    """
    with store.begin() as connection:
        if store.schema:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            if store.schema not in inspect(connection).get_schema_names():
                connection.execute(text(f'CREATE SCHEMA "{store.schema}"'))
        if not _pending(connection, store, consumer):
            return False
        config = _config(consumer.migrations if consumer else None)
        if _applied(connection) - _revisions(consumer.migrations if consumer else None):
            raise StateError(_of_another_version(store, consumer.name if consumer else "NAME"))
        config.attributes["connection"] = connection
        command.upgrade(config, "heads")
        if consumer and consumer.metadata is not None and not consumer.migrations:
            consumer.metadata.create_all(connection)
    return True


def pending(store: Store, consumer: Tables | None = None) -> bool:
    """Tell whether `upgrade` would have anything to do."""
    with store.begin() as connection:
        return _pending(connection, store, consumer)


def _pending(connection: Connection, store: Store, consumer: Tables | None) -> bool:
    if _applied(connection) != _heads(consumer.migrations if consumer else None):
        return True
    if consumer is None or consumer.metadata is None or consumer.migrations:
        return False
    return not set(consumer.metadata.tables) <= set(inspect(connection).get_table_names(store.schema))


def _applied(connection: Connection) -> frozenset[str]:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return frozenset(context.get_current_heads())


@cache
def _heads(migrations: str | None) -> frozenset[str]:
    return frozenset(ScriptDirectory.from_config(_config(migrations)).get_heads())


@cache
def _revisions(migrations: str | None) -> frozenset[str]:
    return frozenset(one.revision for one in ScriptDirectory.from_config(_config(migrations)).walk_revisions())


def _of_another_version(store: Store, consumer: str) -> str:
    """Return what to do about a schema that has revisions which this version does not know."""
    if store.schema:
        kept, drop = f"schema {store.schema}", f'DROP SCHEMA "{store.schema}" CASCADE'
    else:
        kept, drop = str(store.engine.url.database), "delete the file"
    return (
        f"{kept} was made by another version of testbus, and cannot be brought up to date by this one: use that "
        f"version; or give up what is kept there ({drop}), then run `testbus db upgrade` and "
        f"`testbus replay {consumer}`"
    )


def _config(migrations: str | None) -> Config:
    locations = [str(_RUNTIME / "versions")]
    if migrations:
        locations.append(str(Path(next(iter(import_module(migrations).__path__)))))
    config = Config()
    config.set_main_option("script_location", str(_RUNTIME))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(locations))
    return config
