"""What RabbitMQ keeps in production: how far a queue has read, what is put off, and what was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import JSON, Column, Double, Integer, LargeBinary, MetaData, String, Table, Text, inspect, text

if TYPE_CHECKING:
    from sqlalchemy import Connection

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
