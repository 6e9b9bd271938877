"""The record of a run: what is kept of its events, and the one rule how a test ended. Pure functions of events."""

from __future__ import annotations
