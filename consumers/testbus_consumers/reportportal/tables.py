"""Tables of `reportportal`: what is to be told of a launch apart from its items, and which issues belong to which."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Integer, MetaData, PrimaryKeyConstraint, String, Table, Text

#: Everything that `reportportal` keeps.
METADATA = MetaData()

#: What each kind of event has to say of a run's launch: part `variant:<name>`, `closing` or `verdict`.
#: A launch's attributes can only be replaced as a whole, so whoever changes them has to know all of them.
PART = Table(
    "part",
    METADATA,
    Column("project", String(64), nullable=False),
    Column("run", String(256), nullable=False),
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
    Column("project", String(64), nullable=False),
    Column("run", String(256), nullable=False),
    Column("item", String(36), nullable=False),
    Column("fingerprint", String(256), nullable=False),
    PrimaryKeyConstraint("project", "run", "item"),
)

#: The issues of a run by root cause: an issue and the items that it stands for come in any order.
LINK = Table(
    "link",
    METADATA,
    Column("project", String(64), nullable=False),
    Column("run", String(256), nullable=False),
    Column("fingerprint", String(256), nullable=False),
    Column("key", String(256), nullable=False),
    Column("url", Text, nullable=False),
    PrimaryKeyConstraint("project", "run", "fingerprint", "key"),
)
