"""What `reportportal` needs to take runs over from a target that is down."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "reportportal_0003"
down_revision = "reportportal_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "route",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("taken_by", sa.String(length=64), nullable=False),
        sa.Column("replay", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("project", "run"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("route")
