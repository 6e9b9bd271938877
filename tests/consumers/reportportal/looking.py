"""What tests of `testbus check` call a target's check."""

from __future__ import annotations

from typing import Any, Protocol


class Look(Protocol):
    """Checks the target with some of its settings replaced."""

    def __call__(self, **settings: Any) -> dict[str, tuple[str, str]]:
        """Return what was looked at → (level, detail), in order."""
