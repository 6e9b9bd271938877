"""Tables of the record, in `runs`' schema: every counted event once, what was made of them, and what was decided."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from testbus_consumers.store.run_key import run_columns

#: Everything that `runs` keeps.
METADATA = MetaData()


#: One row per counted event of a producer: no order but the producer's own numbers.
EVENT = Table(
    "event",
    METADATA,
    *run_columns(),
    Column("producer", String(64), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("event_id", String(64), nullable=False),
    # short name
    Column("type", String(64), nullable=False),
    # this consumer's clock, in seconds since the epoch
    Column("recorded_at", Double, nullable=False),
    # of the body: gzip, zlib, or "" for plain JSON
    Column("encoding", String(16), nullable=False),
    # as it came; null once it is too old, and for what is kept elsewhere
    Column("body", LargeBinary),
    # what decisions need of it (`facts.pack`); null for what has none
    Column("facts", LargeBinary),
    # why it has none, where it should
    Column("fault", Text),
    PrimaryKeyConstraint("project", "run", "producer", "sequence"),
)

#: A producer's facts added up, one row per column; `arrived` is the number of events that it stands on.
PART = Table(
    "part",
    METADATA,
    *run_columns(),
    Column("producer", String(64), nullable=False),
    Column("arrived", Integer, nullable=False),
    Column("name", String(32), nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("project", "run", "producer", "arrived", "name"),
)

#: One row per decision about a run.
DECISION = Table(
    "decision",
    METADATA,
    *run_columns(),
    Column("revision", Integer, nullable=False),
    Column("decided_at", Double, nullable=False),
    # what runs are ordered by, in seconds since the epoch: when the run's first producer began, by its own clock, or
    # this consumer heard of the run if that was earlier
    Column("ordered_at", Double, nullable=False),
    # completed, interrupted
    Column("status", String(16), nullable=False),
    # each producer by its id: {"arrived": n, "events": "1-40,42", "counts": true, …}
    Column("counted", JSON, nullable=False),
    # counts, total, tests_s, digest
    Column("summary", JSON, nullable=False),
    # digest of what it stands on: recomputed, a decision of the same digest is told again, and none follows from it
    Column("stands_on", String(64), nullable=False),
    PrimaryKeyConstraint("project", "run", "revision"),
)

#: What of a decision is added up over producers: coverage.
FOLD = Table(
    "fold",
    METADATA,
    *run_columns(),
    Column("revision", Integer, nullable=False),
    Column("name", String(32), nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("project", "run", "revision", "name"),
)

#: All of them, for whoever deletes a run.
RECORD: Final = (EVENT, PART, DECISION, FOLD)
