"""How far a queue has read the log of its home."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import select

from testbus_consumers.embedded.tables import CURSOR
from testbus_consumers.store.engine import insert

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy import Connection


def load(connection: Connection) -> dict[str, int] | None:
    """Return how far the queue has read: segment → offset; None for a queue that has not begun yet."""
    position: dict[str, int] | None = connection.execute(select(CURSOR.c.position)).scalar()
    return position


def begin(connection: Connection, position: Mapping[str, int]) -> None:
    """Let a queue begin at a position, unless it has begun already."""
    statement = insert(connection, CURSOR).values(id=1, position=dict(position))
    connection.execute(statement.on_conflict_do_nothing())


def save(connection: Connection, position: Mapping[str, int]) -> None:
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
