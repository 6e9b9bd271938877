"""The tables of `jira`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "jira_0004"
down_revision = None
branch_labels = ("jira",)
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "issue",
        sa.Column("project", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=True),
        sa.Column("previous", sa.String(length=64), nullable=True),
        sa.Column("filed_run", sa.String(length=384), nullable=True),
        sa.Column("commented_at", sa.Double(), nullable=True),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("first", sa.JSON(), nullable=False),
        sa.Column("latest", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "fingerprint"),
    )
    op.create_table(
        "launch",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "target"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("launch")
    op.drop_table("issue")
