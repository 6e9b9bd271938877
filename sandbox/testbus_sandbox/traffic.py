"""How many requests a server received, by method and route."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock


@dataclass(slots=True)
class Traffic:
    """Counts requests as they arrive, answered or not; may be read from any thread."""

    _counts: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def count(self, method: str, route: str) -> None:
        """Count one request for a route such as `/api/v1/{project}/item`."""
        with self._lock:
            self._counts[f"{method} {route}"] += 1

    def clear(self) -> None:
        """Start counting at zero again."""
        with self._lock:
            self._counts.clear()

    @property
    def by_route(self) -> dict[str, int]:
        """The counts, for example `{"POST /api/v1/{project}/item": 12}`."""
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> int:
        """The number of all requests."""
        with self._lock:
            return self._counts.total()
