"""The tables of the runtime."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "runtime_0005"
down_revision = None
branch_labels = ("runtime",)
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "testbus_control",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("queue", sa.String(length=255), nullable=False),
        sa.Column("paused_at", sa.Double(), nullable=True),
        sa.Column("paused_until", sa.Double(), nullable=True),
        sa.Column("paused_by", sa.String(length=128), nullable=False),
        sa.Column("pause_reason", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", sa.Double(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("health_changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "testbus_delivery",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.Column("recorded_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index(op.f("ix_testbus_delivery_updated_at"), "testbus_delivery", ["updated_at"], unique=False)
    op.create_index("testbus_delivery_of_run", "testbus_delivery", ["run", "project"], unique=False)
    op.create_table(
        "testbus_intent",
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("begun_at", sa.Double(), nullable=False),
        sa.Column("done_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index(op.f("ix_testbus_intent_done_at"), "testbus_intent", ["done_at"], unique=False)
    op.create_table(
        "testbus_job",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("when_drained", sa.Integer(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("delays", sa.Integer(), nullable=False),
        sa.Column("setting", sa.Integer(), nullable=False),
        sa.Column("leased_until", sa.Double(), nullable=False),
        sa.Column("token", sa.String(length=36), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("replay", sa.String(length=64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", "key"),
    )
    op.create_index("testbus_job_due", "testbus_job", ["status", "due_at"], unique=False)
    op.create_table(
        "testbus_lease",
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("token", sa.String(length=36), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "testbus_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("cause", sa.String(length=320), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("routing_key", sa.String(length=255), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("content_encoding", sa.String(length=16), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("replay", sa.String(length=64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_testbus_outbox_cause"), "testbus_outbox", ["cause"], unique=False)
    op.create_table(
        "testbus_run",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=256), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("fired", sa.Integer(), nullable=False),
        sa.Column("lacked", sa.Boolean(), nullable=False),
        sa.Column("decision", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run"),
    )
    op.create_index(op.f("ix_testbus_run_updated_at"), "testbus_run", ["updated_at"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_table("testbus_run")
    op.drop_table("testbus_outbox")
    op.drop_table("testbus_lease")
    op.drop_table("testbus_job")
    op.drop_table("testbus_intent")
    op.drop_table("testbus_delivery")
    op.drop_table("testbus_control")
