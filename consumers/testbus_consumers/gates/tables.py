"""Tables of `gates`: what the rules look at, and what they said."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, Integer, MetaData, PrimaryKeyConstraint, String, Table, Text

#: Everything that `gates` keeps.
METADATA = MetaData()

#: One row per result.
RESULT = Table(
    "result",
    METADATA,
    Column("run", String(256), nullable=False),
    Column("producer", String(64), nullable=False),
    Column("variant", String(128), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("ci_attempt", Integer, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("fingerprint", String(32), nullable=False),
    Column("type", Text, nullable=False),
    Column("message", Text, nullable=False),
    PrimaryKeyConstraint("run", "producer", "node_id", "attempt"),
)

#: Chunks of the tests that a producer collected.
COLLECTED = Table(
    "collected",
    METADATA,
    Column("run", String(256), nullable=False),
    Column("producer", String(64), nullable=False),
    Column("variant", String(128), nullable=False),
    Column("chunk", Integer, nullable=False),
    Column("node_ids", JSON, nullable=False),
    PrimaryKeyConstraint("run", "producer", "chunk"),
)

#: How each producer ended.
PRODUCER = Table(
    "producer",
    METADATA,
    Column("run", String(256), nullable=False),
    Column("producer", String(64), nullable=False),
    Column("status", String(32), nullable=False),
    PrimaryKeyConstraint("run", "producer"),
)

#: Coverage of one file by one producer; line sets as in `testbus_schemas.coverage`.
COVERAGE = Table(
    "coverage",
    METADATA,
    Column("run", String(256), nullable=False),
    Column("producer", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("statements", Text, nullable=False),
    Column("executed", Text, nullable=False),
    Column("branches", JSON, nullable=False),
    Column("executed_branches", JSON, nullable=False),
    PrimaryKeyConstraint("run", "producer", "path"),
)

#: The latest verdict on each run, as the data of its `gate.evaluated`.
VERDICT = Table(
    "verdict",
    METADATA,
    Column("run", String(256), primary_key=True),
    Column("project", String(64), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("evaluation", JSON, nullable=False),
    Column("evaluated_at", Double, nullable=False, index=True),
)
