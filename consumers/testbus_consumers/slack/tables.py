"""Tables of `slack`: what each run's message shows."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, Integer, MetaData, PrimaryKeyConstraint, String, Table

#: Everything that `slack` keeps.
METADATA = MetaData()

#: One row per run: the latest that its message shows, or is about to show.
SHOWN = Table(
    "shown",
    METADATA,
    Column("project", String(64), nullable=False),
    Column("run", String(256), nullable=False),
    # place in the order of what can be told of a run: 0 it runs, 2n its verdict n, 2n + 1 that this one is reopened
    Column("stage", Integer, nullable=False),
    # of two verdicts on the same decision: when it was made, seconds since the epoch
    Column("told_at", Double, nullable=False),
    # 1 when there is to be a message, 0 when there was no reason for one yet
    Column("wanted", Integer, nullable=False),
    # the data of the latest verdict: a reopened run's message tells what was said before
    Column("verdict", JSON),
    PrimaryKeyConstraint("project", "run"),
)
