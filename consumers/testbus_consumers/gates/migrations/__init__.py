"""Alembic revisions of the consumer `gates`."""
