"""What `reportportal` needs to link issues."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "reportportal_0002"
down_revision = "reportportal_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "failed",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("item", sa.String(length=36), nullable=False),
        sa.Column("fingerprint", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "item"),
    )
    op.create_table(
        "link",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("fingerprint", sa.String(length=256), nullable=False),
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "fingerprint", "key"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("link")
    op.drop_table("failed")
