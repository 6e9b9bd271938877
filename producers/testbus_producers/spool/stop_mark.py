"""The trace of a session that is asked to end: CIs cancel a job by SIGTERM, and kill what is not gone soon.

Python's own handlers are left as they are: a test may look at them, its children would inherit ours, and none is called
while C code runs. `faulthandler` writes to a file before the signal does what it ever did; whoever sends the spool sees
by that file that somebody stopped the session.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
from typing import TYPE_CHECKING, Final

from testbus_broker import system_calls as system

if TYPE_CHECKING:
    from pathlib import Path

#: Exit status that a shell shows for a process that SIGTERM ended.
TERMINATED: Final = 128 + signal.SIGTERM

_getsignal = signal.getsignal


class StopMark:
    """Leaves a mark in a file when SIGTERM ends this process, and never when it ends a child."""

    def __init__(self, path: Path) -> None:
        """Begin, unless somebody handles the signal: then it does not end the process. Raises OSError."""
        self._descriptor: int | None = None
        if not _is_default():
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = system.lifted(os.open(path, flags, 0o600))
        self._register()
        # A child may be ended before a word of ours could be taken back in it: so it never has one.
        os.register_at_fork(before=self._unregister, after_in_parent=self._register, after_in_child=self._close)

    def take_back(self) -> None:
        """Leave no mark any more."""
        self._unregister()
        self._close()

    def _register(self) -> None:
        if self._descriptor is not None and _is_default():
            with contextlib.suppress(ValueError, OSError):
                faulthandler.register(signal.SIGTERM, file=self._descriptor, all_threads=False, chain=True)

    def _unregister(self) -> None:
        # What a test has put in our place since is the test's.
        if self._descriptor is not None and _is_default():
            faulthandler.unregister(signal.SIGTERM)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                system.close(descriptor)


def _is_default() -> bool:
    return _getsignal(signal.SIGTERM) == signal.SIG_DFL
