"""Tables of `jira`: which issue stands for which cause, and where a run's launches are."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, Integer, MetaData, PrimaryKeyConstraint, String, Table, Text

from testbus_consumers.store.run_key import run_columns

#: Everything that `jira` keeps.
METADATA = MetaData()

#: One row per run and ReportPortal: its launch there, until the run is filed with it.
LAUNCH = Table(
    "launch",
    METADATA,
    *run_columns(),
    Column("target", String(64), nullable=False),
    Column("url", Text, nullable=False),
    PrimaryKeyConstraint("project", "run", "target"),
)

#: One row per project of Jira and cause.
ISSUE = Table(
    "issue",
    METADATA,
    Column("project", String(32), nullable=False),
    Column("fingerprint", String(32), nullable=False),
    # 1 for the first issue; one more for each that had to follow because the one before stays closed
    Column("generation", Integer, nullable=False),
    # null until it is filed
    Column("key", String(64)),
    # the issue before this one
    Column("previous", String(64)),
    # the run that it was created for, as project/id; null when it was there already
    Column("filed_run", String(384)),
    # when it was last commented on, seconds since the epoch
    Column("commented_at", Double),
    # runs that met the cause, in all; the first one; and the latest ones, the newest first
    Column("runs", Integer, nullable=False),
    Column("first", JSON, nullable=False),
    Column("latest", JSON, nullable=False),
    PrimaryKeyConstraint("project", "fingerprint"),
)
