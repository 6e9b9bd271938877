"""Replay: events that were published before go to one queue again: what it never saw, what is recomputed, or resent."""

from __future__ import annotations

from testbus_consumers.replay.filling import fill
from testbus_consumers.replay.plan import (
    BATCH,
    EventSource,
    Filled,
    Pace,
    PartialRangeError,
    Plan,
    ReplayRefusedError,
    Selection,
    UnknownTypeError,
)
from testbus_consumers.replay.recomputing import recompute

__all__ = [
    # what is replayed
    "PartialRangeError",
    "Plan",
    "ReplayRefusedError",
    "Selection",
    "UnknownTypeError",
    # how
    "BATCH",
    "Filled",
    "Pace",
    "EventSource",
    "fill",
    "recompute",
]
