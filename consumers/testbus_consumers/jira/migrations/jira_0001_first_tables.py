"""The first tables of `jira`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "jira_0001"
down_revision = None
branch_labels = ("jira",)
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "attempt",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("test", sa.String(length=32), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("run", "producer", "test"),
    )
    op.create_table(
        "cause",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "fingerprint"),
    )
    op.create_table(
        "issue",
        sa.Column("project", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=True),
        sa.Column("previous", sa.String(length=64), nullable=True),
        sa.Column("filed_run", sa.String(length=256), nullable=True),
        sa.Column("commented_at", sa.Double(), nullable=True),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("first", sa.JSON(), nullable=False),
        sa.Column("latest", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "fingerprint"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("issue")
    op.drop_table("cause")
    op.drop_table("attempt")
