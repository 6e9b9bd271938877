"""Alembic revisions of the consumer `slack`."""
