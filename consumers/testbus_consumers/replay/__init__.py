"""Replay: events that were published before go to one queue again, to fill what that queue never saw."""

from __future__ import annotations

from testbus_consumers.replay.filling import BATCH, Filled, Place, fill
from testbus_consumers.replay.selection import PartialRangeError, Selection

__all__ = [
    # what is replayed
    "PartialRangeError",
    "Selection",
    # how
    "BATCH",
    "Filled",
    "Place",
    "fill",
]
