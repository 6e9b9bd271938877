"""What failed in a run is in the record of `runs`."""

from __future__ import annotations

from alembic import op

revision = "jira_0003"
down_revision = "jira_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for table in ("cause", "attempt"):
        op.drop_table(table)


def downgrade() -> None:
    """Refuse: what was dropped is in no event that is still here."""
    raise NotImplementedError("what failed is kept by runs, and read there")
