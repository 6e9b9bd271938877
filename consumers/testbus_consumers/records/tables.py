"""Tables of `runs`, which the record is in: runs, producers, each counted event once, what follows from it."""

from __future__ import annotations

from typing import Final

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

#: Everything that `runs` keeps.
METADATA = MetaData()

#: One row per run; also the lock of whoever decides. An event takes it only if something may follow from it.
RUN = Table(
    "run",
    METADATA,
    *run_columns(),
    # the first context that was seen of the run, as JSON; what runs are looked for by, as columns
    Column("context", JSON, nullable=False),
    Column("suite", String(128), nullable=False),
    Column("stage", String(64)),
    Column("branch", String(256)),
    Column("commit_id", String(64)),
    Column("pull_request", String(64)),
    # of the change that the latest decision counts: merge base with the target branch, author of its latest commit
    Column("merge_base", String(64)),
    Column("author", String(120)),
    # whether its branch was among `base_branches` when it was heard of, and it is of no pull request
    Column("is_base", Boolean, nullable=False),
    # whether the bodies of its events are kept; not any more once they were deleted for their age
    Column("has_bodies", Boolean, nullable=False),
    # open, completed, interrupted
    Column("status", String(16), nullable=False),
    # number of the latest decision; 0 before any
    Column("revision", Integer, nullable=False),
    Column("reasons", JSON, nullable=False),
    # what the gates said of that decision; null before
    Column("verdict", String(16)),
    # what runs are ordered by, in seconds since the epoch: when its first producer began, by its own clock, or this
    # consumer heard of the run if that was earlier
    Column("ordered_at", Double, nullable=False, index=True),
    PrimaryKeyConstraint("project", "run"),
    # people name a run by its id alone
    Index("run_by_id", "run"),
    Index("run_of_branch", "project", "suite", "branch", "ordered_at"),
    Index("run_of_commit", "project", "commit_id"),
    Index("run_of_suite_and_commit", "project", "suite", "commit_id"),
    Index("run_of_pull_request", "project", "pull_request"),
)

#: How many shards there are, where somebody announced it (`testbus finish`).
SHARDS = Table(
    "shards",
    METADATA,
    *run_columns(),
    # "": every variant of the run
    Column("variant", String(128), nullable=False),
    Column("total", Integer, nullable=False),
    # when somebody last announced it, by this consumer's clock
    Column("heard_at", Double, nullable=False),
    PrimaryKeyConstraint("project", "run", "variant"),
)

#: One row per producer of a run, which only its own events write. Lock order: a producer's row, then the run's.
PRODUCER = Table(
    "producer",
    METADATA,
    *run_columns(),
    Column("producer", String(64), nullable=False),
    Column("variant", String(128), nullable=False),
    # 0: the tests are not split
    Column("shard", Integer, nullable=False),
    Column("shards", Integer),
    Column("attempt", Integer, nullable=False),
    # its numbered events that are here
    Column("arrived", Integer, nullable=False),
    # what its producer.finished said; null before
    Column("declared", Integer),
    Column("status", String(32)),
    Column("exit_status", Integer),
    Column("dropped", Integer, nullable=False, default=0),
    Column("ended_at", Double),
    # why it did not end well, for people
    Column("detail", Text),
    # whether all that it numbered is here
    Column("whole", Boolean, nullable=False),
    # seconds between its signs of life; null when it gives none
    Column("heartbeat_s", Double),
    # when it was last heard of, by this consumer's clock
    Column("heard_at", Double, nullable=False),
    # when it will have been silent for too long, by this consumer's clock; `NEVER` when it gives no signs of life
    Column("silent_at", Double, nullable=False),
    PrimaryKeyConstraint("project", "run", "producer"),
    # the awaited one that may speak for longest, and the highest attempt of a place: each one look, however many
    # producers there are
    Index("producer_awaited", "project", "run", "whole", "silent_at"),
    Index("producer_place", "project", "run", "variant", "shard", "attempt"),
)

#: Stands for an instant that never comes.
NEVER: Final = 1e15

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
    # digest of what it stands on: recomputed to the same digest, a decision is published again and none follows
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

#: What was derived about a run, as it was published: decisions, verdicts, regressions, issues, launches, reopenings.
NOTE = Table(
    "note",
    METADATA,
    *run_columns(),
    Column("event_id", String(64), nullable=False),
    # short name
    Column("type", String(64), nullable=False),
    # the decision of `runs` that it stands on; null where it names none
    Column("revision", Integer),
    # when it was derived, by its consumer's clock, in seconds since the epoch
    Column("recorded_at", Double, nullable=False),
    # of the body: gzip, zlib, or "" for plain JSON
    Column("encoding", String(16), nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("project", "run", "event_id"),
)

#: Content of attached files, once for each digest, as long as bodies are kept.
ATTACHMENT = Table(
    "attachment",
    METADATA,
    *run_columns(),
    # SHA-256 of the content, in hexadecimal digits
    Column("sha256", String(64), nullable=False),
    # in bytes
    Column("size", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("project", "run", "sha256"),
)

#: What people decided: one row for each, which belongs to a project and not to a run.
OVERRIDE = Table(
    "override",
    METADATA,
    Column("project", String(64), nullable=False),
    Column("id", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    # the whole of it, as JSON
    Column("override", JSON, nullable=False),
    # from when on, and until when it holds, in seconds since the epoch; null until: it does not end by itself
    Column("since", Double, nullable=False),
    Column("until", Double),
    # when another one ended it, and which; null while none has
    Column("ended_at", Double),
    Column("ended_by", String(64)),
    # whether others last heard that it holds; null before they heard anything
    Column("announced", Boolean),
    PrimaryKeyConstraint("project", "id"),
    Index("override_of_kind", "project", "kind", "since"),
)

#: What goes with a run: all but what people decided.
RECORD: Final = (RUN, SHARDS, PRODUCER, EVENT, PART, DECISION, FOLD, NOTE, ATTACHMENT)
