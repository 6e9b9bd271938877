"""Tables of `regressions`: runs and how their tests ended, as far back as they are compared, and what was reported."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from testbus_consumers.store.run_key import run_columns

#: Everything that `regressions` keeps.
METADATA = MetaData()


def _of_suite() -> tuple[Column[str], Column[str]]:
    return Column("project", String(64), nullable=False), Column("suite", String(128), nullable=False)


#: One row per suite: the lock that orders its comparisons.
SUITE = Table(
    "suite",
    METADATA,
    *_of_suite(),
    Column("compared_at", Double, nullable=False),
    PrimaryKeyConstraint("project", "suite"),
)

#: One row per run that was decided, within the history.
RUN = Table(
    "run",
    METADATA,
    *run_columns(),
    Column("suite", String(128), nullable=False),
    # branch, or the pull request where no branch is known; empty without either
    Column("branch", String(256), nullable=False),
    # whether other runs are compared with this one
    Column("is_base", Boolean, nullable=False),
    Column("commit_id", String(64)),
    Column("base", String(256)),
    # of the record, in seconds since the epoch
    Column("ordered_at", Double, nullable=False),
    Column("complete", Boolean, nullable=False),
    # variants that were tested
    Column("variants", JSON, nullable=False),
    # variants and shards that measured coverage; null when none did
    Column("measured", JSON),
    # component → [what ran, what could have]
    Column("covered", JSON, nullable=False),
    Column("context", JSON, nullable=False),
    PrimaryKeyConstraint("project", "run"),
    Index("run_of_suite", "project", "suite", "ordered_at"),
)

#: Which tests there are: the same from run to run, so kept once.
NAMES = Table(
    "names",
    METADATA,
    *_of_suite(),
    Column("digest", String(64), nullable=False),
    # column `names` of the record
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("project", "suite", "digest"),
)

#: How the tests of one producer of a run ended.
ENDS = Table(
    "ends",
    METADATA,
    *run_columns(),
    Column("producer", String(64), nullable=False),
    Column("suite", String(128), nullable=False),
    Column("variant", String(128), nullable=False),
    # not those of a producer that a later attempt replaced
    Column("counts", Boolean, nullable=False),
    # digest of their NAMES
    Column("names", String(64), nullable=False),
    # column `ends` of the record
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("project", "run", "producer"),
    Index("ends_names", "project", "suite", "names"),
)

#: Every attempt of the tests that failed or were repeated.
ATTEMPT = Table(
    "attempt",
    METADATA,
    *run_columns(),
    Column("producer", String(64), nullable=False),
    Column("node_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    # good, bad; null when it says nothing about the code (skipped)
    Column("bad", Boolean),
    Column("fingerprint", String(32), nullable=False),
    # the message of the failure, for people
    Column("failure_text", Text, nullable=False),
    PrimaryKeyConstraint("project", "run", "producer", "node_id", "attempt"),
)

#: That a test failed in a run and passed on the same commit.
EVIDENCE = Table(
    "evidence",
    METADATA,
    *run_columns(),
    Column("variant", String(128), nullable=False),
    Column("node_id", Text, nullable=False),
    Column("suite", String(128), nullable=False),
    # the commit; the run where that is unknown
    Column("on_commit", String(256), nullable=False),
    # whether other tests failed with it
    Column("shared", Boolean, nullable=False),
    Column("failure_text", Text, nullable=False),
    PrimaryKeyConstraint("project", "run", "variant", "node_id"),
    Index("evidence_of_suite", "project", "suite"),
)

#: What was reported: one row per cause from when it was found, kept after it is over as long as that run is.
ALERT = Table(
    "alert",
    METADATA,
    *_of_suite(),
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
    Column("event_data", JSON, nullable=False),
    PrimaryKeyConstraint("project", "suite", "branch", "cause", "since"),
)
