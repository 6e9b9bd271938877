"""Consumer `runs`: alone decides what a complete run is."""

from __future__ import annotations

from testbus_consumers.runs.consumer import CONSUMER

__all__ = ["CONSUMER"]
