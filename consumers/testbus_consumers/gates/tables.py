"""Tables of `gates`: what the rules said."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, Integer, MetaData, PrimaryKeyConstraint, String, Table

from testbus_consumers.store.run_key import run_columns

#: Everything that `gates` keeps.
METADATA = MetaData()

#: The latest verdict on each run, as the data of its `gate.evaluated`.
VERDICT = Table(
    "verdict",
    METADATA,
    *run_columns(),
    Column("revision", Integer, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("evaluation", JSON, nullable=False),
    Column("evaluated_at", Double, nullable=False, index=True),
    PrimaryKeyConstraint("project", "run"),
)
