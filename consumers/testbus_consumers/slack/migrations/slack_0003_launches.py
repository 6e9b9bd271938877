"""What `slack` needs to link launches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "slack_0003"
down_revision = "slack_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "launch",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("launch", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "target"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("launch")
