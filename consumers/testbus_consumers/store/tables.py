"""The runtime's own tables, in the schema of each queue. Instants are seconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
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

#: Everything that the runtime keeps, apart from each consumer's own tables.
METADATA = MetaData()

#: The delivery ledger, and with it the seen marks: one row per event that ever reached this queue.
DELIVERY = Table(
    "testbus_delivery",
    METADATA,
    Column("event_id", String(64), primary_key=True),
    *run_columns(),
    Column("type", String(64), nullable=False),
    # done, skipped, silent, retrying, dead
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("reason", Text, nullable=False, default=""),
    Column("next_at", Double),
    Column("recorded_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False, index=True),
    Index("testbus_delivery_of_run", "run", "project"),
)

#: Events that this queue derived and that no broker has confirmed yet; a row goes with its confirm.
OUTBOX = Table(
    "testbus_outbox",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("cause", String(320), nullable=False, index=True),
    Column("event_id", String(64), nullable=False),
    Column("routing_key", String(255), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("content_encoding", String(16)),
    Column("created_at", Double, nullable=False),
    # the replay that it follows from, or empty
    Column("replay", String(64), nullable=False, server_default=""),
)

#: Calls to the outside: begun before, done after, with what came back.
INTENT = Table(
    "testbus_intent",
    METADATA,
    Column("key", String(512), primary_key=True),
    Column("result", JSON),
    Column("begun_at", Double, nullable=False),
    Column("done_at", Double, index=True),
)

#: Who works on what must not be worked on twice at once.
LEASE = Table(
    "testbus_lease",
    METADATA,
    Column("key", String(512), primary_key=True),
    Column("token", String(36), nullable=False),
    Column("expires_at", Double, nullable=False),
)

#: The latest decision about each run that has been decided.
RUN = Table(
    "testbus_run",
    METADATA,
    *run_columns(),
    # the highest decision received, and the highest one acted upon
    Column("revision", Integer, nullable=False),
    Column("fired", Integer, nullable=False),
    # whether events that it counts had not come when it was acted upon
    Column("lacked", Boolean, nullable=False),
    # the event that carried it, as plain JSON
    Column("decision", LargeBinary, nullable=False),
    Column("updated_at", Double, nullable=False, index=True),
    PrimaryKeyConstraint("project", "run"),
)

#: Timers: what is to be done, and when.
JOB = Table(
    "testbus_job",
    METADATA,
    Column("name", String(64), nullable=False),
    Column("key", String(512), nullable=False),
    # waiting, dead
    Column("status", String(16), nullable=False),
    Column("due_at", Double, nullable=False),
    Column("when_drained", Integer, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("delays", Integer, nullable=False),
    # raised whenever the timer is set anew, so that whoever runs the earlier setting leaves the new one alone
    Column("setting", Integer, nullable=False),
    Column("leased_until", Double, nullable=False),
    Column("token", String(36), nullable=False),
    Column("reason", Text, nullable=False),
    # the replay that it follows from, or empty
    Column("replay", String(64), nullable=False, server_default=""),
    PrimaryKeyConstraint("name", "key"),
    Index("testbus_job_due", "status", "due_at"),
)

#: One row: what a person said about this queue, and what its workers found out about its target.
CONTROL = Table(
    "testbus_control",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # its name, which that of a schema does not tell
    Column("queue", String(255), nullable=False),
    # null: not paused; null until: until somebody resumes it
    Column("paused_at", Double),
    Column("paused_until", Double),
    Column("paused_by", String(128), nullable=False),
    Column("pause_reason", Text, nullable=False),
    # failed calls of the target in a row, when it may be asked again, what the last failure said
    Column("failures", Integer, nullable=False),
    Column("open_until", Double, nullable=False),
    Column("failure", Text, nullable=False),
    # by the clock of whoever found out; the latest word counts
    Column("health_changed_at", Double, nullable=False),
)
