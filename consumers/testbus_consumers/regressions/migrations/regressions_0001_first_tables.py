"""The first tables of `regressions`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "regressions_0001"
down_revision = None
branch_labels = ("regressions",)
depends_on = None


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
        sa.Column("told", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "suite", "branch", "cause", "since"),
    )
    op.create_table(
        "coverage",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("statements", sa.Text(), nullable=False),
        sa.Column("executed", sa.Text(), nullable=False),
        sa.Column("branches", sa.JSON(), nullable=False),
        sa.Column("executed_branches", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run", "producer", "path"),
    )
    op.create_table(
        "evidence",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("on_commit", sa.String(length=256), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "variant", "node_id"),
    )
    op.create_index("evidence_of_suite", "evidence", ["project", "suite"], unique=False)
    op.create_table(
        "producer",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run", "producer"),
    )
    op.create_table(
        "result",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("bad", sa.Boolean(), nullable=True),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "producer", "node_id", "attempt"),
    )
    op.create_index("result_bad", "result", ["run", "bad"], unique=False)
    op.create_index("result_of_test", "result", ["node_id", "run"], unique=False)
    op.create_table(
        "run",
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("branch", sa.String(length=256), nullable=False),
        sa.Column("is_base", sa.Boolean(), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=True),
        sa.Column("base", sa.String(length=256), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("superseded", sa.JSON(), nullable=False),
        sa.Column("variants", sa.JSON(), nullable=False),
        sa.Column("measured", sa.JSON(), nullable=True),
        sa.Column("covered", sa.JSON(), nullable=False),
        sa.Column("has_lines", sa.Boolean(), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run"),
    )
    op.create_index("run_of_suite", "run", ["project", "suite", "started_at"], unique=False)
    op.create_table(
        "suite",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=128), nullable=False),
        sa.Column("compared_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "suite"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("suite")
    op.drop_index("run_of_suite", table_name="run")
    op.drop_table("run")
    op.drop_index("result_of_test", table_name="result")
    op.drop_index("result_bad", table_name="result")
    op.drop_table("result")
    op.drop_table("producer")
    op.drop_index("evidence_of_suite", table_name="evidence")
    op.drop_table("evidence")
    op.drop_table("coverage")
    op.drop_table("alert")
