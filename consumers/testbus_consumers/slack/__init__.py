"""Consumer `slack`: one message for each run, brought up to date until the verdict."""

from __future__ import annotations

from testbus_consumers.slack.consumer import CONSUMER

__all__ = ["CONSUMER"]
