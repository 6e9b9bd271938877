"""Alembic revisions of the consumer `runs`."""
