"""The handler that takes what a test logs: beside pytest's own ones, and without a word about levels.

Which records there are is for the project to say, and for pytest's `log_level`: a test behaves as it does unpublished.
The texts are those that pytest's handlers made: nobody's `__str__` is asked once more.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

from testbus_producers import recording
from testbus_producers.boundary import Boundary

#: Levels from which a record is called so; below the last it is a trace.
_LEVELS: Final = (
    (logging.CRITICAL, "fatal"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warn"),
    (logging.INFO, "info"),
    (logging.DEBUG, "debug"),
)

_ROOT: Final = logging.root


class LogHandler(logging.Handler):
    """Takes records to the recording of the test that runs."""

    def install(self) -> None:
        """Take what is logged from now on, behind pytest's own handlers."""
        _ROOT.handlers.append(self)

    def remove(self) -> None:
        """Take nothing any more; who cleared the handlers has done it already."""
        _ROOT.handlers[:] = [handler for handler in _ROOT.handlers if handler is not self]

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record, without a lock: it only becomes one more of a list."""
        Boundary().call(_take, record)
        return True


def _take(record: logging.LogRecord) -> None:
    now = recording.current()
    if now is not None:
        logger = record.__dict__.get("name")
        level = next((name for least, name in _LEVELS if record.levelno >= least), "trace")
        now.log(level, partial(text_of, record), logger if isinstance(logger, str) else "")


def text_of(record: logging.LogRecord) -> str:
    """Return what a record says, with the traceback of an exception: as pytest's handlers wrote it.

    Where they did not (a level that pytest leaves out), its arguments are left out as well.
    """
    known = record.__dict__
    message = known.get("message")
    if not isinstance(message, str):
        message = record.msg if type(record.msg) is str else f"a {type(record.msg).__name__}"
    parts = (message, known.get("exc_text"), known.get("stack_info"))
    return "\n".join(part for part in parts if isinstance(part, str) and part)
