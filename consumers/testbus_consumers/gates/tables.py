"""Tables of `gates`: what the rules said."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, Integer, MetaData, String, Table

#: Everything that `gates` keeps.
METADATA = MetaData()

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
