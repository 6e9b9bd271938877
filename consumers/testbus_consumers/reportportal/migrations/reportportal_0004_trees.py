"""What `reportportal` needs for suites, for known flaky tests, and to wait for what has to come first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "reportportal_0004"
down_revision = "reportportal_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "suite",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("suite", sa.String(length=36), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "suite"),
    )
    op.create_table(
        "flaky",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("cause", sa.String(length=64), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("flaky", sa.Boolean(), nullable=False),
        sa.Column("told_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("project", "suite", "cause"),
    )
    op.create_table(
        "waiting",
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("event"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("waiting")
    op.drop_table("flaky")
    op.drop_table("suite")
