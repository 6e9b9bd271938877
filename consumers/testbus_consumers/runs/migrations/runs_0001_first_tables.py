"""The first tables of `runs`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "runs_0001"
down_revision = None
branch_labels = ("runs",)
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "producer",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("shards", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("received", sa.JSON(), nullable=False),
        sa.Column("declared", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=True),
        sa.Column("exit_status", sa.Integer(), nullable=True),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("run", "producer"),
    )
    op.create_table(
        "run",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run"),
    )
    op.create_index(op.f("ix_run_project"), "run", ["project"], unique=False)
    op.create_index(op.f("ix_run_started_at"), "run", ["started_at"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f("ix_run_started_at"), table_name="run")
    op.drop_index(op.f("ix_run_project"), table_name="run")
    op.drop_table("run")
    op.drop_table("producer")
