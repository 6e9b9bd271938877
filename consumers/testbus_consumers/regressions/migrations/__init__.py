"""Alembic revisions of `regressions`."""
