"""What `slack` needs for threads, routes and changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "slack_0002"
down_revision = "slack_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("shown", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("shown", sa.Column("channel", sa.String(length=32), nullable=True))
    op.add_column("shown", sa.Column("started_at", sa.Double(), nullable=True))
    op.create_table(
        "link",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("fingerprint", sa.String(length=256), nullable=False),
        sa.Column("issue", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "fingerprint"),
    )
    op.create_table(
        "latest",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("branch", sa.String(length=256), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("before", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("project", "suite", "branch"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("latest")
    op.drop_table("link")
    for column in ("started_at", "channel", "reason"):
        op.drop_column("shown", column)
