"""The tables of `runs`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "runs_0011"
down_revision = None
branch_labels = ("runs",)
depends_on = None

#: Columns that are compressed already: PostgreSQL need not try it.
_COMPRESSED = (
    ("attachment", "content"),
    ("event", "body"),
    ("event", "facts"),
    ("fold", "content"),
    ("note", "body"),
    ("part", "content"),
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "attachment",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "sha256"),
    )
    op.create_table(
        "decision",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("decided_at", sa.Double(), nullable=False),
        sa.Column("ordered_at", sa.Double(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("counted", sa.JSON(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("stands_on", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "revision"),
    )
    op.create_table(
        "event",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.Double(), nullable=False),
        sa.Column("encoding", sa.String(length=16), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("facts", sa.LargeBinary(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("project", "run", "producer", "sequence"),
    )
    op.create_table(
        "fold",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "revision", "name"),
    )
    op.create_table(
        "note",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("recorded_at", sa.Double(), nullable=False),
        sa.Column("encoding", sa.String(length=16), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "event_id"),
    )
    op.create_table(
        "override",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("override", sa.JSON(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("ended_by", sa.String(length=64), nullable=True),
        sa.Column("announced", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("project", "id"),
    )
    op.create_index("override_of_kind", "override", ["project", "kind", "since"], unique=False)
    op.create_table(
        "part",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("arrived", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "producer", "arrived", "name"),
    )
    op.create_table(
        "producer",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("shards", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("arrived", sa.Integer(), nullable=False),
        sa.Column("declared", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=True),
        sa.Column("exit_status", sa.Integer(), nullable=True),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("heartbeat_s", sa.Double(), nullable=True),
        sa.Column("heard_at", sa.Double(), nullable=False),
        sa.Column("silent_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "producer"),
    )
    op.create_index("producer_awaited", "producer", ["project", "run", "whole", "silent_at"], unique=False)
    op.create_index("producer_place", "producer", ["project", "run", "variant", "shard", "attempt"], unique=False)
    op.create_table(
        "run",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=True),
        sa.Column("branch", sa.String(length=256), nullable=True),
        sa.Column("commit_id", sa.String(length=64), nullable=True),
        sa.Column("pull_request", sa.String(length=64), nullable=True),
        sa.Column("merge_base", sa.String(length=64), nullable=True),
        sa.Column("author", sa.String(length=120), nullable=True),
        sa.Column("is_base", sa.Boolean(), nullable=False),
        sa.Column("has_bodies", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("ordered_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run"),
    )
    op.create_index(op.f("ix_run_ordered_at"), "run", ["ordered_at"], unique=False)
    op.create_index("run_by_id", "run", ["run"], unique=False)
    op.create_index("run_of_branch", "run", ["project", "suite", "branch", "ordered_at"], unique=False)
    op.create_index("run_of_commit", "run", ["project", "commit_id"], unique=False)
    op.create_index("run_of_suite_and_commit", "run", ["project", "suite", "commit_id"], unique=False)
    op.create_index("run_of_pull_request", "run", ["project", "pull_request"], unique=False)
    op.create_table(
        "shards",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("heard_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "variant"),
    )
    if op.get_context().dialect.name == "postgresql":
        for table, column in _COMPRESSED:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Take back."""
    op.drop_table("shards")
    op.drop_table("run")
    op.drop_table("producer")
    op.drop_table("part")
    op.drop_table("override")
    op.drop_table("note")
    op.drop_table("fold")
    op.drop_table("event")
    op.drop_table("decision")
    op.drop_table("attachment")
