"""The tables of `reportportal`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "reportportal_0007"
down_revision = None
branch_labels = ("reportportal",)
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
        "flaky",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("cause", sa.String(length=64), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("flaky", sa.Boolean(), nullable=False),
        sa.Column("notified_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("project", "suite", "cause"),
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
    op.create_table(
        "part",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("part", sa.String(length=160), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "part"),
    )
    op.create_table(
        "route",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("taken_by", sa.String(length=64), nullable=False),
        sa.Column("replay", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("project", "run"),
    )
    op.create_table(
        "suite",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("suite", sa.String(length=36), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "suite"),
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
    op.drop_table("suite")
    op.drop_table("route")
    op.drop_table("part")
    op.drop_table("owner")
    op.drop_table("link")
    op.drop_table("flaky")
    op.drop_table("failed")
