"""What `jira` needs to link launches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "jira_0002"
down_revision = "jira_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "launch",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "target"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("launch")
