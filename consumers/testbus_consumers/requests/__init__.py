"""Consumer `requests`: answers what runners ask, and decides nothing."""

from __future__ import annotations

from testbus_consumers.requests.consumer import CONSUMER

__all__ = ["CONSUMER"]
