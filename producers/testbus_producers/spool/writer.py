"""Appending to a spool: what the tests' thread does with each result, and nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_broker import segments
from testbus_broker.errors import SegmentError
from testbus_producers import clock

if TYPE_CHECKING:
    from testbus_producers.spool.folder import Folder

#: A segment that has grown to so many bytes is followed by a new one; less in a spool with a small bound.
SEGMENT_BYTES: Final = 4 * 1024 * 1024

#: Of how many segments at least a full spool consists: only whole ones can be deleted to make room.
SEGMENTS: Final = 4

#: Seconds between two looks at how much of a spool that is full was deleted.
_LOOK_S: Final = 0.2


class Writer:
    """Appends records to a folder. For one thread."""

    def __init__(self, folder: Folder, *, max_bytes: int, number: int = 1) -> None:
        """Begin with the segment of this number, which is not there yet."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = min(SEGMENT_BYTES, max_bytes // SEGMENTS)
        self._number = number
        self._file = segments.SegmentWriter(folder.segment(number))
        self._used = 0
        self._looked_at = 0.0
        #: Segment and offset up to which all is written.
        self.written = (number, 0)

    def append(self, kind: bytes, body: bytes, *, always: bool = False) -> bool:
        """Append a record; False when it does not fit or the disk refuses.

        `always` takes it beyond the bound, and gives the reserve for it when the disk is full.
        """
        payload = kind + body
        size = len(payload) + segments.RECORD_OVERHEAD
        if not always and self._used + size > self._max_bytes and not self._has_room(size):
            return False
        end = self._write(payload)
        if end is None and always and self._folder.give_reserve():
            end = self._write(payload)
        if end is None:
            return False
        self._used += size
        self.written = (self._number, end)
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _has_room(self, size: int) -> bool:
        """Look how much is left of what was written: whole segments are deleted when a broker has confirmed them."""
        now = clock.monotonic()
        if now - self._looked_at < _LOOK_S:
            return False
        self._looked_at = now
        self._used = self._folder.used()
        return self._used + size <= self._max_bytes

    def _write(self, payload: bytes) -> int | None:
        """Return the offset behind the record; None when the disk refuses."""
        try:
            if self.written[1] > self._segment_bytes:
                self._follow()
            return self._file.append(payload)
        except (OSError, SegmentError):
            return None

    def _follow(self) -> None:
        # The number first: a segment that an interrupt left half made is passed over, not tried for ever.
        number = self._number = self._number + 1
        following = segments.SegmentWriter(self._folder.segment(number))
        before, self._file = self._file, following
        self.written = (number, 0)
        before.close()
