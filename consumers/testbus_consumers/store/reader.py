"""Reading the state of other queues: on connections of its own that cannot write and hold nobody up."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError

from testbus_consumers.errors import NoStateError
from testbus_consumers.store.engine import CONNECT_S, is_missing, parse_url, schema_name, unusable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

#: Seconds that a reader of a SQLite file waits where it must.
_BUSY_S: Final = 30


class StateReader:
    """Gives read-only transactions on the states of any queues; made after any fork, used by any of its threads."""

    def __init__(self, url: str) -> None:
        """Take the URL of the state, as `open_store` does. Nothing is connected yet."""
        self._url = url
        self._lock = threading.Lock()
        self._engines: dict[str, Engine] = {}

    @contextlib.contextmanager
    def of(self, queue: str) -> Iterator[Connection]:
        """Give one transaction that sees the state of a queue at one moment; nothing in it can write.

        Raises NoStateError where that queue has no state yet, which is no empty answer.
        """
        try:
            with self._engine(queue).connect() as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            if is_missing(error):
                raise unusable(queue, error) from None
            raise

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            engines, self._engines = list(self._engines.values()), {}
        for engine in engines:
            engine.dispose()

    def _engine(self, queue: str) -> Engine:
        with self._lock:
            if queue not in self._engines:
                self._engines[queue] = _open(self._url, queue)
            return self._engines[queue]


def _open(url: str, queue: str) -> Engine:
    parsed = parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=1,
            pool_pre_ping=True,
            hide_parameters=True,
            isolation_level="REPEATABLE READ",
            connect_args={
                "connect_timeout": CONNECT_S,
                "options": f"-csearch_path={schema_name(queue)} -cdefault_transaction_read_only=on",
            },
        )
    file = Path(parsed.database or "") / f"{queue}.sqlite3"
    if not file.is_file():
        raise NoStateError(f"{queue} has no state in {file.parent} yet: has it handled an event?")
    engine = create_engine(
        f"sqlite:///file:{file}?mode=ro&uri=true", connect_args={"timeout": _BUSY_S}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Deferred: a reader of a file in WAL mode waits for nobody, and nobody for it.
        connection.exec_driver_sql("BEGIN")

    return engine
