"""Consumer `gates`: judges a complete run by its rules."""

from __future__ import annotations

from testbus_consumers.gates.consumer import CONSUMER

__all__ = ["CONSUMER"]
