"""Which producer reported first for each part of a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "reportportal_0005"
down_revision = "reportportal_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "owner",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("ci_attempt", sa.Integer(), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "variant", "shard", "ci_attempt"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("owner")
