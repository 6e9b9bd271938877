"""Tables of `regressions`: runs and histories, as far back as they are compared, and what was told."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

#: Everything that `regressions` keeps.
METADATA = MetaData()

#: One row per suite: the lock that orders its comparisons.
SUITE = Table(
    "suite",
    METADATA,
    Column("project", String(64), nullable=False),
    Column("suite", String(128), nullable=False),
    Column("compared_at", Double, nullable=False),
    PrimaryKeyConstraint("project", "suite"),
)

#: One row per run that was decided, within the history.
RUN = Table(
    "run",
    METADATA,
    Column("run", String(256), primary_key=True),
    Column("project", String(64), nullable=False),
    Column("suite", String(128), nullable=False),
    # branch, or the pull request where no branch is known; empty without either
    Column("branch", String(256), nullable=False),
    # whether other runs are compared with this one
    Column("is_base", Boolean, nullable=False),
    Column("commit_id", String(64)),
    Column("base", String(256)),
    # of the first of its producers, in seconds since the epoch
    Column("started_at", Double, nullable=False),
    Column("complete", Boolean, nullable=False),
    # producers whose results no longer count
    Column("superseded", JSON, nullable=False),
    # variants that were tested
    Column("variants", JSON, nullable=False),
    # variants and shards that measured coverage; null when none did
    Column("measured", JSON),
    # component → [what ran, what could have]
    Column("covered", JSON, nullable=False),
    # whether the line sets are still there
    Column("has_lines", Boolean, nullable=False),
    Column("context", JSON, nullable=False),
    Index("run_of_suite", "project", "suite", "started_at"),
)

#: One row per producer of a run; of another project's, which has no say in the run, nothing counts.
PRODUCER = Table(
    "producer",
    METADATA,
    Column("run", String(256), nullable=False),
    Column("producer", String(64), nullable=False),
    Column("project", String(64), nullable=False),
    Column("variant", String(128), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    PrimaryKeyConstraint("run", "producer"),
)

#: The history of each test: how each attempt ended.
RESULT = Table(
    "result",
    METADATA,
    Column("run", String(256), nullable=False),
    Column("producer", String(64), nullable=False),
    Column("node_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    # good, bad; null when it says nothing about the code (skipped)
    Column("bad", Boolean),
    Column("fingerprint", String(32), nullable=False),
    # what the failure said, for people
    Column("said", Text, nullable=False),
    PrimaryKeyConstraint("run", "producer", "node_id", "attempt"),
    Index("result_of_test", "node_id", "run"),
    Index("result_bad", "run", "bad"),
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

#: That a test failed in a run and passed on the same commit.
EVIDENCE = Table(
    "evidence",
    METADATA,
    Column("run", String(256), nullable=False),
    Column("variant", String(128), nullable=False),
    Column("node_id", Text, nullable=False),
    Column("project", String(64), nullable=False),
    Column("suite", String(128), nullable=False),
    # the commit; the run where that is unknown
    Column("on_commit", String(256), nullable=False),
    # whether other tests failed with it
    Column("shared", Boolean, nullable=False),
    Column("said", Text, nullable=False),
    PrimaryKeyConstraint("run", "variant", "node_id"),
    Index("evidence_of_suite", "project", "suite"),
)

#: What was told: one row per cause from when it was found, kept after it is over as long as that run is.
ALERT = Table(
    "alert",
    METADATA,
    Column("project", String(64), nullable=False),
    Column("suite", String(128), nullable=False),
    # empty for a flaky test
    Column("branch", String(256), nullable=False),
    Column("cause", String(64), nullable=False),
    # the run in which it was found
    Column("since", String(256), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("is_open", Boolean, nullable=False),
    # [variant, node id] of each test
    Column("tests", JSON, nullable=False),
    # data of its regression.detected, without context and message
    Column("told", JSON, nullable=False),
    PrimaryKeyConstraint("project", "suite", "branch", "cause", "since"),
)
