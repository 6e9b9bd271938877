"""The record: every counted event once, what was made of it, and what was decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "runs_0005"
down_revision = "runs_0004"
branch_labels = None
depends_on = None

#: Columns that are compressed already: PostgreSQL need not try it.
_COMPRESSED = (("event", "body"), ("event", "facts"), ("part", "content"), ("fold", "content"))


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "event",
        *_of_run(),
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
        "part",
        *_of_run(),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("arrived", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "producer", "arrived", "name"),
    )
    op.create_table(
        "decision",
        *_of_run(),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("decided_at", sa.Double(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("counted", sa.JSON(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "revision"),
    )
    op.create_table(
        "fold",
        *_of_run(),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "revision", "name"),
    )
    if op.get_context().dialect.name == "postgresql":
        for table, column in _COMPRESSED:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Take back."""
    for table in ("fold", "decision", "part", "event"):
        op.drop_table(table)


def _of_run() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
    )
