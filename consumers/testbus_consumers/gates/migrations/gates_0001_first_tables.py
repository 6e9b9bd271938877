"""The first tables of `gates`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "gates_0001"
down_revision = None
branch_labels = ("gates",)
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "collected",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("node_ids", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run", "producer", "chunk"),
    )
    op.create_table(
        "coverage",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("statements", sa.Text(), nullable=False),
        sa.Column("executed", sa.Text(), nullable=False),
        sa.Column("branches", sa.JSON(), nullable=False),
        sa.Column("executed_branches", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run", "producer", "path"),
    )
    op.create_table(
        "producer",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("run", "producer"),
    )
    op.create_table(
        "result",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("ci_attempt", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "producer", "node_id", "attempt"),
    )
    op.create_table(
        "verdict",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("evaluation", sa.JSON(), nullable=False),
        sa.Column("evaluated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run"),
    )
    op.create_index(op.f("ix_verdict_evaluated_at"), "verdict", ["evaluated_at"], unique=False)
    op.create_index(op.f("ix_verdict_project"), "verdict", ["project"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f("ix_verdict_project"), table_name="verdict")
    op.drop_index(op.f("ix_verdict_evaluated_at"), table_name="verdict")
    op.drop_table("verdict")
    op.drop_table("result")
    op.drop_table("producer")
    op.drop_table("coverage")
    op.drop_table("collected")
