"""What RabbitMQ keeps in production: how far a queue has read, what is put off, and what was given up."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    JSON,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    inspect,
    select,
    text,
)

from testbus_broker.dead_letter import EVERY, Choice, DeadLetter
from testbus_broker.message import ATTEMPT, ERROR, ROUTING_KEY, TRACEBACK, Message
from testbus_consumers.store.engine import insert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection, Row

    from testbus_consumers.store import Store


#: The embedded driver's tables, in the file of each queue.
METADATA = MetaData()

#: How far each segment of the log has been read; one row.
CURSOR = Table(
    "embedded_cursor",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("position", JSON, nullable=False),
)

#: Messages that wait for their next attempt.
DELAYED = Table(
    "embedded_delayed",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("due_at", Double, nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
    Column("content_encoding", String(16)),
    Column("routing_key", String(255)),
    Column("attempt", Integer, nullable=False),
    Column("delays", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    # the replay that sent it, or empty
    Column("replay", String(64), nullable=False, server_default=""),
)

#: Dead letters.
DEAD = Table(
    "embedded_dead",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("message_id", String(64), index=True),
    Column("body", LargeBinary, nullable=False),
    Column("content_encoding", String(16)),
    Column("routing_key", String(255)),
    Column("error", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("died_at", Double, nullable=False),
    Column("replay", String(64), nullable=False, server_default=""),
)


def create(connection: Connection) -> None:
    """Make the tables, and the columns that a home of an earlier version lacks (text that may be empty)."""
    METADATA.create_all(connection)
    for table in METADATA.sorted_tables:
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                rule = "" if column.nullable else " NOT NULL DEFAULT ''"
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {column.type}{rule}"))


def load_positions(connection: Connection) -> dict[str, int] | None:
    """Return how far the queue has read: segment → offset; None for a queue that has not begun yet."""
    position: dict[str, int] | None = connection.execute(select(CURSOR.c.position)).scalar()
    return position


def begin_positions(connection: Connection, position: Mapping[str, int]) -> None:
    """Let a queue begin at a position, unless it has begun already."""
    statement = insert(connection, CURSOR).values(id=1, position=dict(position))
    connection.execute(statement.on_conflict_do_nothing())


def save_positions(connection: Connection, position: Mapping[str, int]) -> None:
    """Keep how far the queue has read."""
    statement = insert(connection, CURSOR).values(id=1, position=dict(position))
    changed = {"position": dict(position)}
    connection.execute(statement.on_conflict_do_update(index_elements=[CURSOR.c.id], set_=changed))


def any_read(home: Path) -> bool:
    """Tell whether any queue of a home has read anything yet."""
    return any(_has_read(file) for file in (home / "state").glob("*.sqlite3"))


def _has_read(file: Path) -> bool:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            row = connection.execute(f"SELECT position FROM {CURSOR.name}").fetchone()  # noqa: S608 our own table
        except sqlite3.OperationalError:
            # Somebody is making it at this moment.
            return False
    return row is not None and row[0] not in {"{}", "null"}


#: Dead letters that are read at a time.
_PAGE: Final = 500


def _ignore(_seen: int, _there: int) -> None:
    """Show nobody how far it is."""


def dead_letters(
    store: Store,
    choice: Choice = EVERY,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = _ignore,
) -> Iterator[DeadLetter]:
    """Yield the dead letters of a queue that are meant, up to `limit`, oldest first.

    `progress` is called with how many were looked at, and how many there are.
    """
    return (dead_letter for _, dead_letter in islice(_chosen(store, choice, progress), limit))


def redrive(
    store: Store,
    choice: Choice = EVERY,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = _ignore,
) -> int:
    """Put dead letters back in front of their queue, without attempts; return how many."""
    count = 0
    for row, _ in islice(_chosen(store, choice, progress), limit):
        again = {
            "due_at": time.time(),
            "body": row.body,
            "content_encoding": row.content_encoding,
            "routing_key": row.routing_key,
            "attempt": 0,
            "delays": 0,
            "reason": "redriven",
            "replay": row.replay,
        }
        with store.begin() as connection:
            # Whoever else redrives or purges at this moment: one of us has it.
            if connection.execute(delete(DEAD).where(DEAD.c.id == row.id)).rowcount:
                connection.execute(DELAYED.insert().values(**again))
                count += 1
    return count


def purge(
    store: Store,
    choice: Choice = EVERY,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = _ignore,
) -> int:
    """Throw dead letters away; return how many."""
    count = 0
    for row, _ in islice(_chosen(store, choice, progress), limit):
        with store.begin() as connection:
            count += int(connection.execute(delete(DEAD).where(DEAD.c.id == row.id)).rowcount)
    return count


def _chosen(
    store: Store, choice: Choice, progress: Callable[[int, int], None]
) -> Iterator[tuple[Row[Any], DeadLetter]]:
    """Yield what is meant of what is there now, a page at a time and outside of any transaction."""
    with store.begin() as connection:
        newest, there = connection.execute(select(func.max(DEAD.c.id), func.count()).select_from(DEAD)).one()
    seen, last = 0, 0
    while seen < there:
        page = select(DEAD).where(DEAD.c.id > last, DEAD.c.id <= newest).order_by(DEAD.c.id).limit(_PAGE)
        with store.begin() as connection:
            rows = connection.execute(page).all()
        if not rows:
            return
        for row in rows:
            seen, last = seen + 1, row.id
            progress(seen, there)
            dead_letter = _dead_letter(row)
            if choice.takes(dead_letter):
                yield row, dead_letter


def _dead_letter(row: Row[Any]) -> DeadLetter:
    story = {ROUTING_KEY: row.routing_key or "", ERROR: row.error, TRACEBACK: row.traceback, ATTEMPT: row.attempts}
    return DeadLetter(
        message=Message(
            body=row.body,
            routing_key=row.routing_key or "",
            content_encoding=row.content_encoding,
            message_id=row.message_id,
            timestamp=int(row.died_at),
            headers=story,
        )
    )
