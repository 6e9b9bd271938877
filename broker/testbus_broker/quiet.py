"""Keeping pika's own log out of other people's reports."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Depth(threading.local):
    """How many times this thread is muted."""

    value = 0


class _Muted(logging.Filter):
    """Drops what pika logs in a muted thread.

    pika resolves names in threads of its own (`_resolve`), so those are muted by the function's name.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not _depth.value and record.funcName != "_resolve"


_depth: Final = _Depth()
_muted: Final = _Muted()


@contextmanager
def without_pikas_log() -> Iterator[None]:
    """Mute pika in this thread: its log would land in the reports of whatever test runs, or on the screen.

    Nothing is lost: what went wrong is in the error that the caller gets. pika must have been imported before.
    """
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] == "pika" and isinstance(logger, logging.Logger):
            logger.addFilter(_muted)
    _depth.value += 1
    try:
        yield
    finally:
        _depth.value -= 1
