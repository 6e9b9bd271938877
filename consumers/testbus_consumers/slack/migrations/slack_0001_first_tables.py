"""The first tables of `slack`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "slack_0001"
down_revision = None
branch_labels = ("slack",)
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "shown",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("told_at", sa.Double(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("project", "run"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("shown")
