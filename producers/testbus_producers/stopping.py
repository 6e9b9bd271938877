"""The last word of a session that is asked to end: CIs cancel a job by SIGTERM, and kill what is not gone soon."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: Exit status that a shell shows for a process that SIGTERM ended.
TERMINATED: Final = 128 + signal.SIGTERM

#: Beginning of the names of our own modules.
_OURS: Final = __name__.partition(".")[0]


def on_sigterm(say: Callable[[], None]) -> Callable[[], None]:
    """Let SIGTERM call `say` before it ends this process as ever; return a function that takes that back.

    Nothing is changed where somebody else handles the signal, or outside of the main thread. A signal that arrives
    while our own code is at work ends the process without a word: a record that is half written must stay the last.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return lambda: None
    process = os.getpid()

    def handle(_number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() == process and not _at_work(frame):
            say()
        os.kill(os.getpid(), signal.SIGTERM)

    def take_back() -> None:
        if os.getpid() == process and signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, handle)
    return take_back


def _at_work(frame: FrameType | None) -> bool:
    """Tell whether code of ours was interrupted: its innermost call is what matters, hooks only wait for the test."""
    name = str(frame.f_globals.get("__name__", "")) if frame else ""
    while frame is not None and not name.startswith(("_pytest", "pluggy")):
        if name.partition(".")[0] == _OURS:
            return True
        frame = frame.f_back
        name = str(frame.f_globals.get("__name__", "")) if frame else ""
    return False
