"""Consumer `jira`: one issue for each root cause and project, however many runs and workers meet it."""

from __future__ import annotations

from testbus_consumers.jira.consumer import CONSUMER

__all__ = ["CONSUMER"]
