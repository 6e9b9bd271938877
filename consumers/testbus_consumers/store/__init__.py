"""State: SQLAlchemy Core on PostgreSQL or SQLite, one schema or file per queue; nobody reads another's tables."""

from __future__ import annotations

from testbus_consumers.store.engine import Store, open_store

__all__ = ["Store", "open_store"]
