"""Processes of this machine: whether the one that we know still runs, and not another with its number."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: Fields of /proc/<pid>/stat behind the name: the state, and when the process began.
_STATE: Final = 0
_BEGAN: Final = 19


def began(process: int) -> str | None:
    """Return when a process began, in the system's words; None where nothing says so."""
    fields = _fields(process)
    return fields[_BEGAN] if fields else None


def is_running(process: int, began_at: str | None) -> bool:
    """Tell whether a process runs that began then; one that only waits to be buried does not."""
    fields = _fields(process)
    if fields:
        return fields[_STATE] not in {"Z", "X"} and began_at in {None, fields[_BEGAN]}
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not Path("/proc/self/stat").exists()


def _fields(process: int) -> list[str]:
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # The name may hold anything, parentheses and spaces too.
    return text.rpartition(")")[2].split()
