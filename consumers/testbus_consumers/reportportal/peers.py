"""The other targets, for one that takes runs only when they cannot."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from testbus_consumers.errors import TargetDownError
from testbus_consumers.reportportal.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from testbus_consumers.reportportal.api import Api
    from testbus_consumers.reportportal.settings import ReportPortalTarget

log = structlog.get_logger(__name__)

#: Seconds that a target is believed to be usable after it answered.
USABLE_S: Final = 5.0

#: Seconds that a target is not asked again after it did not: asking a hung one takes its whole `timeout_s`.
UNUSABLE_S: Final = 30.0


class _Asked(Protocol):
    def call(self, function: Callable[[Api], Awaitable[None]]) -> None:
        """Run a coroutine function."""

    def close(self) -> None:
        """Close connections."""


class Others:
    """Whether other targets can be used, asked with their own settings; each process keeps answers a few seconds."""

    def __init__(
        self, targets: Mapping[str, ReportPortalTarget], connect: Callable[[ReportPortalTarget], _Asked]
    ) -> None:
        """Take the targets by name, and what makes the client of one; nothing is connected yet."""
        self._targets = targets
        self._connect = connect
        self._lock = threading.Lock()
        self._clients: dict[str, _Asked] = {}
        # by name: whether it was usable, and until when that is believed (monotonic seconds)
        self._found: dict[str, tuple[bool, float]] = {}

    def usable(self, name: str) -> bool:
        """Tell whether a target answers, takes its key and knows its project; within its own `timeout_s`."""
        with self._lock:
            usable, until = self._found.get(name, (False, 0.0))
            if time.monotonic() < until:
                return usable
            usable = self._asked(name)
            self._found[name] = usable, time.monotonic() + (USABLE_S if usable else UNUSABLE_S)
            return usable

    def close(self) -> None:
        """Close every connection; no thread may be asking."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _asked(self, name: str) -> bool:
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self._connect(self._targets[name])
        try:
            client.call(lambda api: api.look())
        except (TargetDownError, AnswerError) as error:
            log.warning("a better target cannot be used", target=name, reason=str(error))
            return False
        return True
