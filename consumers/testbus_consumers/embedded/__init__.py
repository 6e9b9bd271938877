"""The embedded driver: the same handlers, policy and state, on this machine's disk alone."""

from __future__ import annotations

from testbus_consumers.embedded.bus import EmbeddedBus

__all__ = ["EmbeddedBus"]
