"""Alembic revisions of the consumer `jira`."""
