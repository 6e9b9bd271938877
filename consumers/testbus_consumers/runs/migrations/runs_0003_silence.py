"""What each producer still owes, and when it will have been silent for too long."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "runs_0003"
down_revision = "runs_0002"
branch_labels = None
depends_on = None

#: As in the tables: an instant that never comes.
_NEVER = 1e15


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("producer") as batch:
        batch.add_column(sa.Column("standing", sa.String(length=16), nullable=False, server_default="awaited"))
        batch.add_column(sa.Column("heartbeat_s", sa.Double(), nullable=True))
        batch.add_column(sa.Column("silent_at", sa.Double(), nullable=False, server_default=str(_NEVER)))
    _tell_standings()
    with op.batch_alter_table("producer") as batch:
        batch.alter_column("standing", server_default=None)
        batch.alter_column("silent_at", server_default=None)
    op.create_index("producer_awaited", "producer", ["run", "standing", "silent_at"], unique=False)
    op.create_index("producer_place", "producer", ["run", "variant", "shard", "attempt"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_index("producer_place", table_name="producer")
    op.drop_index("producer_awaited", table_name="producer")
    with op.batch_alter_table("producer") as batch:
        for name in ("silent_at", "heartbeat_s", "standing"):
            batch.drop_column(name)


def _tell_standings() -> None:
    """Tell of the producers that are there already which of them are whole, and which were superseded."""
    names = ("run", "producer", "variant", "shard", "attempt", "declared")
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in names]
    known = sa.table("producer", *columns, sa.column("received", sa.JSON()), sa.column("standing"))
    connection = op.get_bind()
    rows = connection.execute(sa.select(known)).all()
    highest: dict[tuple[str, str, int], int] = {}
    for row in rows:
        place = (row.run, row.variant, row.shard)
        highest[place] = max(highest.get(place, 0), row.attempt)
    for row in rows:
        if row.attempt < highest[row.run, row.variant, row.shard]:
            standing = "superseded"
        elif row.declared is not None and sum(row.received.values()) >= row.declared:
            standing = "whole"
        else:
            continue
        this = sa.update(known).where(known.c.run == row.run, known.c.producer == row.producer)
        connection.execute(this.values(standing=standing))
