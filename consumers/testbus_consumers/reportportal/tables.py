"""Tables of `reportportal`: what of a run has to be known again later, by whichever worker."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Integer, MetaData, PrimaryKeyConstraint, String, Table, Text

from testbus_consumers.store.run_key import run_columns

#: Everything that `reportportal` keeps.
METADATA = MetaData()

#: What each kind of event has to say of a run's launch: part `variant:<name>`, `closing` or `verdict`.
#: A launch's attributes can only be replaced as a whole, so whoever changes them has to know all of them.
PART = Table(
    "part",
    METADATA,
    *run_columns(),
    Column("part", String(160), nullable=False),
    # the decision about the run that it stands on; 0 for variants
    Column("revision", Integer, nullable=False),
    # [[key, value], …]
    Column("attributes", JSON, nullable=False),
    # lines for the launch's description
    Column("description", Text, nullable=False),
    PrimaryKeyConstraint("project", "run", "part"),
)

#: The failed items of a run by root cause: so many as `failed.MOST` at most.
FAILED = Table(
    "failed",
    METADATA,
    *run_columns(),
    Column("item", String(36), nullable=False),
    Column("fingerprint", String(256), nullable=False),
    PrimaryKeyConstraint("project", "run", "item"),
)

#: The issues of a run by root cause: an issue and the items that it stands for come in any order.
LINK = Table(
    "link",
    METADATA,
    *run_columns(),
    Column("fingerprint", String(256), nullable=False),
    Column("key", String(256), nullable=False),
    Column("url", Text, nullable=False),
    PrimaryKeyConstraint("project", "run", "fingerprint", "key"),
)

#: For each run, the target with mode failover that takes it, as this one found when it first heard of the run.
ROUTE = Table(
    "route",
    METADATA,
    *run_columns(),
    # name of a better target; "" when this one takes the run
    Column("taken_by", String(64), nullable=False),
    # id of the replay that led to this, "" for the run's own first event
    Column("replay", String(64), nullable=False),
    PrimaryKeyConstraint("project", "run"),
)

#: The suites of a run: they are finished when it is over, the deepest first.
SUITE = Table(
    "suite",
    METADATA,
    *run_columns(),
    Column("suite", String(36), nullable=False),
    # 1 directly below the launch
    Column("depth", Integer, nullable=False),
    PrimaryKeyConstraint("project", "run", "suite"),
)

#: Tests that are flaky, or were: one row for each cause that was told.
FLAKY = Table(
    "flaky",
    METADATA,
    Column("project", String(64), nullable=False),
    Column("suite", String(128), nullable=False),
    Column("cause", String(64), nullable=False),
    Column("node_id", Text, nullable=False),
    Column("flaky", Boolean, nullable=False),
    # when that was told (seconds since the epoch): the latest word holds
    Column("told_at", Float, nullable=False),
    PrimaryKeyConstraint("project", "suite", "cause"),
)

#: Since when events have waited for what has to come first (seconds since the epoch).
WAITING = Table(
    "waiting",
    METADATA,
    Column("event", String(64), nullable=False),
    Column("since", Float, nullable=False),
    PrimaryKeyConstraint("event"),
)

#: Which producer reported first for each part of a run: another one's results of the same tests are items of their own.
OWNER = Table(
    "owner",
    METADATA,
    *run_columns(),
    Column("variant", String(128), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("ci_attempt", Integer, nullable=False),
    Column("producer", String(64), nullable=False),
    PrimaryKeyConstraint("project", "run", "variant", "shard", "ci_attempt"),
)
