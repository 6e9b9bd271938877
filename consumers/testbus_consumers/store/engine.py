"""Engines: one PostgreSQL schema, or one SQLite file, for each queue; made where they are used, after any fork."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import select
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, InvalidatePoolError

from testbus_consumers.errors import NoStateError, SettingsError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import ConnectionPoolEntry

#: PostgreSQL's states for a table, column or schema that is not there: `testbus db upgrade` has not been run yet.
NOT_MIGRATED: Final = frozenset({"42P01", "42703", "3F000"})

#: Seconds that a SQLite writer waits for another.
_BUSY_S: Final = 30

#: Connections that one worker process keeps open.
_POOL: Final = 3

#: Longest name that PostgreSQL keeps; it cuts longer ones without a word.
_NAME_CHARS: Final = 63

#: Seconds without use after which a connection is asked whether it still lives.
_IDLE_S: Final = 5.0

#: PostgreSQL's state for a write in a session that may only read, as that of a standby after a failover.
_READ_ONLY: Final = "25006"

#: Seconds until an unreachable database is given up.
CONNECT_S: Final = 5


@dataclass(frozen=True, kw_only=True)
class Store:
    """The state of one queue."""

    engine: Engine
    #: PostgreSQL schema; None on SQLite, where the file is the queue's own.
    schema: str | None

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give one transaction: committed at the end, rolled back by any exception."""
        with self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def schema_name(queue: str) -> str:
    """Return the PostgreSQL schema of a queue: `testbus_gates`, `testbus_reportportal_eu`.

    Two queues never share one: a name that is not just `<dead_letters>.<dead_letters>`, or too long, gets a digest.
    """
    plain = "testbus_" + re.sub(r"[^a-z0-9]+", "_", queue.lower())
    if re.fullmatch(r"[a-z0-9]+(\.[a-z0-9]+)?", queue) and len(plain) <= _NAME_CHARS:
        return plain
    digest = hashlib.sha256(queue.encode()).hexdigest()[:8]
    return f"{plain[: _NAME_CHARS - 9]}_{digest}"


def open_store(url: str, queue: str) -> Store:
    """Return the store of one queue.

    `url` is `postgresql+psycopg://…` for a schema in that database, or `sqlite:///FOLDER` for one file in that folder.
    Raises SettingsError for any other. Nothing is connected yet.
    """
    parsed = parse_url(url)
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        schema = schema_name(queue)
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=_POOL,
            # Errors go into logs and dead letters; what tests printed does not belong there.
            hide_parameters=True,
            connect_args={"connect_timeout": CONNECT_S, "options": f"-csearch_path={schema}"},
        )
        event.listen(engine, "handle_error", _leave_read_only)
        _replace_dead(engine)
        return Store(engine=engine, schema=schema)
    if backend == "sqlite" and parsed.database:
        return Store(engine=_sqlite(Path(parsed.database) / f"{queue}.sqlite3"), schema=None)
    raise SettingsError(f"state.url: {backend} is not supported; use postgresql://… or sqlite:///FOLDER")


def unusable(name: str, error: DBAPIError) -> StateError:
    """Return what it means that the state of a queue cannot be read or written, and what to do about it."""
    reason = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]
    if is_missing(error):
        return NoStateError(f"the state of {name} cannot be used ({reason}): run `testbus db upgrade`")
    remedy = "is the database there, and state.url right? See `testbus check`"
    return StateError(f"the state of {name} cannot be used ({reason}): {remedy}")


def is_missing(error: DBAPIError) -> bool:
    """Tell whether a table, column or schema is not there: `testbus db upgrade` has not been run yet."""
    # SQLite has no states: what it lacks it names.
    named = str(error.orig).strip().startswith(("no such table", "no such column"))
    return named or getattr(error.orig, "sqlstate", None) in NOT_MIGRATED


def exists(url: str, queue: str) -> bool:
    """Tell whether a queue's SQLite file is there, without making it; of any other database nobody knows before.

    Raises SettingsError.
    """
    parsed = parse_url(url)
    return parsed.get_backend_name() != "sqlite" or (Path(parsed.database or "") / f"{queue}.sqlite3").is_file()


def insert(connection: Connection, table: Table) -> Any:
    """Return an INSERT that knows ON CONFLICT, in the connection's dialect."""
    return insert_into(connection.dialect.name, table)


def insert_once(connection: Connection, table: Table) -> Any:
    """Return an INSERT that leaves alone what is there, and returns the key of what is new; made once for a table."""
    return _insert_once(connection.dialect.name, table)


@cache
def _insert_once(dialect: str, table: Table) -> Any:
    return insert_into(dialect, table).on_conflict_do_nothing().returning(*table.primary_key.columns)


def insert_into(dialect: str, table: Table) -> Any:
    """Return an INSERT that knows ON CONFLICT in a dialect, for statements that are made once."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def storable(text: str, characters: int) -> str:
    """Return the beginning of a text as a database keeps it: what a target answered may hold a NUL, or half a pair.

    A note that cannot be kept must not stop what it is about.
    """
    whole = text[:characters].encode("utf-8", "replace").decode()
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _leave_read_only(context: Any) -> None:
    """Take a session that may only read for one that is lost: who connects anew gets to the new primary."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _replace_dead(engine: Engine) -> None:
    """Have the pool connect anew where a connection ended while nobody used it.

    Asking each time, as `pool_pre_ping` does, costs every transaction a round trip. A server that went away has closed
    the socket, which is seen from here; only after a pause is there more to ask for.
    """

    @event.listens_for(engine, "checkin")
    def _note_use(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ask(connection: Any, record: ConnectionPoolEntry, _fairy: Any) -> None:
        try:
            used_at = record.info.get("used_at", math.inf)
            if time.monotonic() - used_at >= _IDLE_S or _has_input(connection.fileno()):
                engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError(str(error)) from error


def _has_input(descriptor: int) -> bool:
    """Tell whether something, or the end, is to be read: on a connection that nobody uses."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def parse_url(url: str) -> URL:
    """Return a database's URL; SettingsError for what is none."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # What the error says may be a part of the password.
        raise SettingsError("state.url is not a database URL: expected postgresql://… or sqlite:///FOLDER") from None


def _sqlite(file: Path) -> Engine:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _made_private(file)
    except OSError as error:
        raise StateError(
            f"no state can be kept in {file.parent}: {error.strerror or error}: set TESTBUS_HOME to a folder that can "
            "be written, or state.url"
        ) from None
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": _BUSY_S}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # SQLAlchemy's own begin is deferred: two readers that both want to write would then fail instead of waiting.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _made_private(file: Path) -> None:
    # The file holds failure texts: created private, before SQLite would create it readable. One that is there is left
    # alone: closing any descriptor of a file drops all locks that this process, and so SQLite, has on it.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
