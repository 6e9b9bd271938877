"""The handler that takes what a test logs: beside pytest's own one, and without a word about levels.

Which records there are is for the project to say, and for pytest's `log_level`: a test behaves as it does unpublished.
"""

from __future__ import annotations

import logging
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

#: Threads of ours, whose library may log what no test did.
_OURS: Final = "testbus-"


class LogHandler(logging.Handler):
    """Takes records to the recording of the test that runs."""

    def __init__(self) -> None:
        """Take every record that gets here."""
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; one whose text cannot be made is the business of whoever logged it."""
        now = recording.current()
        if now is None or (record.threadName or "").startswith(_OURS):
            return
        message = Boundary().call(self.format, record)
        if message is None:
            message = str(record.msg) if isinstance(record.msg, str) else f"a {type(record.msg).__name__}"
        level = next((name for least, name in _LEVELS if record.levelno >= least), "trace")
        # A fault of ours must not come out of somebody's logging call.
        Boundary().call(now.log, level, message, str(record.name))
