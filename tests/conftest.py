"""What holds for every test: no deadline for a single example, because shared machines pause."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("testbus", deadline=None)
settings.load_profile("testbus")
