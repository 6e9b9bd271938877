"""The tables of `regressions`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "regressions_0003"
down_revision = None
branch_labels = ("regressions",)
depends_on = None

#: Columns that are compressed already: PostgreSQL need not try it.
_COMPRESSED = (("ends", "content"), ("names", "content"))


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "alert",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("branch", sa.String(length=256), nullable=False),
        sa.Column("cause", sa.String(length=64), nullable=False),
        sa.Column("since", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("tests", sa.JSON(), nullable=False),
        sa.Column("event_data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "suite", "branch", "cause", "since"),
    )
    op.create_table(
        "attempt",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("bad", sa.Boolean(), nullable=True),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("failure_text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "producer", "node_id", "attempt"),
    )
    op.create_table(
        "ends",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.Column("names", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "producer"),
    )
    op.create_index("ends_names", "ends", ["project", "suite", "names"], unique=False)
    op.create_table(
        "evidence",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("on_commit", sa.String(length=256), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("failure_text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "variant", "node_id"),
    )
    op.create_index("evidence_of_suite", "evidence", ["project", "suite"], unique=False)
    op.create_table(
        "names",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project", "suite", "digest"),
    )
    op.create_table(
        "run",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("branch", sa.String(length=256), nullable=False),
        sa.Column("is_base", sa.Boolean(), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=True),
        sa.Column("base", sa.String(length=256), nullable=True),
        sa.Column("ordered_at", sa.Double(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("variants", sa.JSON(), nullable=False),
        sa.Column("measured", sa.JSON(), nullable=True),
        sa.Column("covered", sa.JSON(), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run"),
    )
    op.create_index("run_of_suite", "run", ["project", "suite", "ordered_at"], unique=False)
    op.create_table(
        "suite",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("compared_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "suite"),
    )
    if op.get_context().dialect.name == "postgresql":
        for table, column in _COMPRESSED:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Take back."""
    op.drop_table("suite")
    op.drop_table("run")
    op.drop_table("names")
    op.drop_table("evidence")
    op.drop_table("ends")
    op.drop_table("attempt")
    op.drop_table("alert")
