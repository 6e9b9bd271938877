"""What RabbitMQ keeps in production: how far a queue has read, what is put off, and what was given up."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, Integer, LargeBinary, MetaData, String, Table, Text

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
)

#: Dead letters.
DEAD = Table(
    "embedded_dead",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("body", LargeBinary, nullable=False),
    Column("content_encoding", String(16)),
    Column("routing_key", String(255)),
    Column("error", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("died_at", Double, nullable=False),
)
