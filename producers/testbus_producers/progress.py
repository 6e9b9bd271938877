"""The progress of a spool: a file of two parts, by which the producer and its relay know of each other.

The relay says in the first part what it has sent. The producer says in the second one that it has finished, with its
end when the disk has no room for that: the file is as long as it will ever be from the beginning.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from testbus_broker import system_calls as system

if TYPE_CHECKING:
    from pathlib import Path

#: Name of the file in a spool's folder.
PROGRESS: Final = "progress"

#: Bytes of each part.
_PART: Final = 4096

#: Where each part begins.
_SENT: Final = 0
_END: Final = _PART

#: Characters of the reason of a failure.
_MAX_REASON: Final = 600


class Progress:
    """The open file of one spool. It stays readable when the spool is deleted."""

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor."""
        self._descriptor = system.lifted(descriptor)
        self._identity = system.identity_of(self._descriptor)

    @classmethod
    def create(cls, path: Path) -> Progress:
        """Make the file. Raises OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Zeros, which take room of the disk now, not when there may be none.
            os.write(descriptor, bytes(2 * _PART))
        except OSError:
            os.close(descriptor)
            raise
        return cls(descriptor)

    @classmethod
    def open(cls, path: Path) -> Progress:
        """Open the file that is there. Raises OSError."""
        return cls(os.open(path, os.O_RDWR))

    def sent(self) -> dict[str, Any]:
        """Return what the relay has sent: `events`, `results`, `complete`, `reason`, `done`; at first nothing."""
        return self._read(_SENT)

    def note_sent(self, *, events: int, results: int, complete: bool, reason: str | None, done: bool) -> None:
        """Say what was sent; `done` when nothing more will be."""
        reason = reason[:_MAX_REASON] if reason else None
        state = {"events": events, "results": results, "complete": complete, "reason": reason, "done": done}
        self._write(_SENT, state)

    def end(self) -> dict[str, Any]:
        """Return the producer's last word: `finished`, and `end` when it is nowhere else; empty while it has none."""
        return self._read(_END)

    def note_end(self, end: bytes | None) -> None:
        """Say that the producer has finished; `end` is the body of its last record when that is on no disk."""
        self._write(_END, {"finished": True, "end": end.decode() if end else None})

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0 and system.is_same(descriptor, self._identity):
            with contextlib.suppress(OSError):
                system.close(descriptor)

    def _read(self, place: int) -> dict[str, Any]:
        if not system.is_same(self._descriptor, self._identity):
            return {}
        try:
            state: dict[str, Any] = json.loads(system.pread(self._descriptor, _PART, place).rstrip(b"\0 ") or b"{}")
        except (OSError, ValueError):
            # It is just being written.
            return {}
        return state

    def _write(self, place: int, state: dict[str, Any]) -> None:
        body = json.dumps(state, ensure_ascii=False).encode("utf-8", "replace").ljust(_PART)
        if len(body) == _PART and system.is_same(self._descriptor, self._identity):
            with contextlib.suppress(OSError):
                system.pwrite(self._descriptor, body, place)
