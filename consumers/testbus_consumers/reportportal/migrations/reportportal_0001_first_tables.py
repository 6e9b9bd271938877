"""The first tables of `reportportal`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "reportportal_0001"
down_revision = None
branch_labels = ("reportportal",)
depends_on = None


def upgrade() -> None:
    """Apply."""
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


def downgrade() -> None:
    """Take back."""
    op.drop_table("part")
