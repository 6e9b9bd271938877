"""Totals of shards that were announced, and why a producer ended as it did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "runs_0002"
down_revision = "runs_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "shards",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run", "variant"),
    )
    op.add_column("producer", sa.Column("detail", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("producer", "detail")
    op.drop_table("shards")
