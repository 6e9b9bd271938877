"""What a run had counted before it is counted anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "runs_0004"
down_revision = "runs_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("run", sa.Column("recount", sa.String(length=64), nullable=True))
    op.add_column("producer", sa.Column("recount", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("producer", "recount")
    op.drop_column("run", "recount")
