"""What a worker process remembers of a target: bounded, and nothing that it could not ask for again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: Suites that one process remembers to be there, of all launches together.
_REMEMBERED: Final = 20_000

#: Seconds after which the project's types of defects are asked for again: people add some.
_FRESH_S: Final = 600.0


class KnownSuites:
    """Suites that are known to be there; safe to use from any thread."""

    def __init__(self) -> None:
        """Know none yet."""
        self._lock = threading.Lock()
        #: Launch and suite → whether the suite is known to have its description.
        self._known: OrderedDict[tuple[str, str], bool] = OrderedDict()

    def missing(self, launch: str, suites: Iterable[str]) -> set[str]:
        """Return those uuids that are not known to be there."""
        found = set()
        with self._lock:
            for suite in suites:
                if (launch, suite) in self._known:
                    self._known.move_to_end((launch, suite))
                else:
                    found.add(suite)
        return found

    def remember(self, launch: str, suites: Iterable[str]) -> None:
        """Keep in mind that suites are there."""
        with self._lock:
            for suite in suites:
                self._known.setdefault((launch, suite), False)
            self._bound()

    def undescribed(self, launch: str, suites: Iterable[str]) -> set[str]:
        """Return those uuids that are not known to have their description."""
        with self._lock:
            return {suite for suite in suites if not self._known.get((launch, suite))}

    def remember_described(self, launch: str, suites: Iterable[str]) -> None:
        """Keep in mind that suites are there and have their description."""
        with self._lock:
            self._known.update(dict.fromkeys(((launch, suite) for suite in suites), True))
            self._bound()

    def forget(self, launch: str) -> None:
        """Forget the suites of a launch: perhaps they are not there after all."""
        with self._lock:
            for key in [key for key in self._known if key[0] == launch]:
                del self._known[key]

    def _bound(self) -> None:
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


class KnownTypes:
    """The project's types of defects, as they were a while ago; safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know none yet."""
        self._clock = clock
        self._known: tuple[float, Mapping[str, str]] | None = None

    def known(self) -> Mapping[str, str] | None:
        """Return the types by name; None when it is time to ask."""
        known = self._known
        return known[1] if known and self._clock() - known[0] < _FRESH_S else None

    def remember(self, types: Mapping[str, str]) -> Mapping[str, str]:
        """Keep the types in mind for a while."""
        self._known = self._clock(), types
        return types

    def forget(self) -> None:
        """Ask again next time: one of them was refused."""
        self._known = None
