"""Replay: events that were published before go to one queue again: what it never saw, what is recomputed, or resent."""

from __future__ import annotations

from testbus_consumers.replay.filling import fill
from testbus_consumers.replay.plan import BATCH, Filled, Pace, Place, Plan, ReplayRefusedError
from testbus_consumers.replay.recomputing import recompute
from testbus_consumers.replay.selection import PartialRangeError, Selection, UnknownTypeError

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
    "Place",
    "fill",
    "recompute",
]
