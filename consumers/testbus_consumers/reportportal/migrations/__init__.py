"""Alembic revisions of the consumer `reportportal`."""
