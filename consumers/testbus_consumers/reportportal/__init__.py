"""Consumer `reportportal`: reports each run as one launch of each ReportPortal target."""

from __future__ import annotations

from testbus_consumers.reportportal.consumer import CONSUMER

__all__ = ["CONSUMER"]
