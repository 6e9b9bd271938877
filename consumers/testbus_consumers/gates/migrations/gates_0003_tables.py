"""The tables of `gates`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "gates_0003"
down_revision = None
branch_labels = ("gates",)
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "verdict",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("evaluation", sa.JSON(), nullable=False),
        sa.Column("evaluated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run"),
    )
    op.create_index(op.f("ix_verdict_evaluated_at"), "verdict", ["evaluated_at"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_table("verdict")
