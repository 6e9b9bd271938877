"""Consumer `regressions`: reports what became worse, once, and once when it is over."""

from __future__ import annotations

from testbus_consumers.regressions.consumer import CONSUMER

__all__ = ["CONSUMER"]
