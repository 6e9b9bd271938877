"""Tables of `slack`: what each run's message shows, and what has to be known for the next one."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, Integer, MetaData, PrimaryKeyConstraint, String, Table, Text

from testbus_consumers.store.run_key import run_columns

#: Everything that `slack` keeps.
METADATA = MetaData()

#: One row per run: the latest that its message shows, or is about to show.
SHOWN = Table(
    "shown",
    METADATA,
    *run_columns(),
    # place in the order of what can be told of a run: 0 it runs, 1 it is over, 2n its verdict n, 2n + 1 that this one
    # is reopened
    Column("stage", Integer, nullable=False),
    # of two verdicts on the same decision: when it was made, seconds since the epoch
    Column("told_at", Double, nullable=False),
    # 1 when there is to be a message, 0 when there was no reason for one yet
    Column("wanted", Integer, nullable=False),
    # the data of the latest verdict: a reopened run's message tells what was said before
    Column("verdict", JSON),
    # why it was reopened
    Column("reason", Text),
    # where its message is; NULL while there is to be none
    Column("channel", String(32)),
    # when the run started, seconds since the epoch
    Column("started_at", Double),
    PrimaryKeyConstraint("project", "run"),
)

#: One row per run and root cause: the issue that stands for it.
LINK = Table(
    "link",
    METADATA,
    *run_columns(),
    Column("fingerprint", String(256), nullable=False),
    # the data of the event that told of it
    Column("issue", JSON, nullable=False),
    PrimaryKeyConstraint("project", "run", "fingerprint"),
)

#: One row per run and ReportPortal: its launch there.
LAUNCH = Table(
    "launch",
    METADATA,
    *run_columns(),
    Column("target", String(64), nullable=False),
    # the data of the event that told of it
    Column("launch", JSON, nullable=False),
    PrimaryKeyConstraint("project", "run", "target"),
)

#: One row per project, suite and branch: the verdict of the run that started last.
LATEST = Table(
    "latest",
    METADATA,
    Column("project", String(64), nullable=False),
    Column("suite", String(128), nullable=False),
    # empty for runs that know no branch
    Column("branch", String(256), nullable=False),
    Column("run", String(256), nullable=False),
    # seconds since the epoch
    Column("started_at", Double, nullable=False),
    Column("verdict", String(32), nullable=False),
    # the verdict of the run before it; NULL when there was none
    Column("before", String(32)),
    PrimaryKeyConstraint("project", "suite", "branch"),
)
