"""What follows from a replay is marked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "runtime_0002"
down_revision = "runtime_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for table in ("testbus_outbox", "testbus_job"):
        op.add_column(table, sa.Column("replay", sa.String(length=64), server_default="", nullable=False))


def downgrade() -> None:
    """Take back."""
    for table in ("testbus_job", "testbus_outbox"):
        op.drop_column(table, "replay")
