"""The tables of `slack`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "slack_0005"
down_revision = None
branch_labels = ("slack",)
depends_on = None


def upgrade() -> None:
    """Apply."""
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
    op.create_table(
        "launch",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("launch", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "target"),
    )
    op.create_table(
        "link",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("fingerprint", sa.String(length=256), nullable=False),
        sa.Column("issue", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "fingerprint"),
    )
    op.create_table(
        "shown",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("notified_at", sa.Double(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("channel", sa.String(length=32), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("project", "run"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("shown")
    op.drop_table("link")
    op.drop_table("launch")
    op.drop_table("latest")
