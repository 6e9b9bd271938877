"""Appending to a spool: what the tests' thread does with each result, and nothing more."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from testbus_broker import segments
from testbus_broker.errors import SegmentError

if TYPE_CHECKING:
    from testbus_producers.spool import Folder

#: A segment that has grown to so many bytes is followed by a new one; less in a spool with a small bound.
SEGMENT_BYTES: Final = 4 * 1024 * 1024

#: Of how many segments at least a full spool consists: only whole ones can be deleted to make room.
SEGMENTS: Final = 4

#: How many of the last records are also kept in memory, so that the sender need not read the file behind the writer:
#: beside running tests each read waits for the interpreter lock. More than are written while a connection is made.
RECENT: Final = 8192

#: Bytes of the largest result that is kept so; larger ones, which are rare, are read.
RECENT_BYTES: Final = 4096


class Recent(NamedTuple):
    """A record that was written a moment ago."""

    #: Number of its segment.
    segment: int
    #: Where it begins in there, in bytes.
    start: int
    #: Where it ends.
    end: int
    #: The record.
    payload: bytes


class Writer:
    """Appends records to a folder. For one thread."""

    def __init__(self, folder: Folder, *, max_bytes: int, number: int = 1) -> None:
        """Begin with the segment of this number, which is not there yet."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = min(SEGMENT_BYTES, max_bytes // SEGMENTS)
        self._number = number
        self._file = segments.SegmentWriter(folder.segment(number))
        self._appended = 0
        #: The last small records; appended here, taken by the sender's thread.
        self.recent: deque[Recent] = deque(maxlen=RECENT)
        #: Bytes that were deleted since; only the sender's thread counts it up.
        self.freed = 0
        #: Segment and offset up to which all is written; one assignment, so that other threads may look.
        self.written = (number, 0)

    def append(self, kind: bytes, body: bytes, *, always: bool = False) -> bool:
        """Append a record; False when it does not fit or the disk refuses.

        `always` takes it beyond the bound, and gives the reserve for it when the disk is full.
        """
        payload = kind + body
        size = len(payload) + segments.RECORD_OVERHEAD
        if not always and self._appended - self.freed + size > self._max_bytes:
            return False
        end = self._write(payload)
        if end is None and always and self._folder.give_reserve():
            end = self._write(payload)
        if end is None:
            return False
        # An interrupt may have come between an earlier write and its note: then `written` is behind `start`.
        start = end - size
        self._appended += size
        if always or len(payload) <= RECENT_BYTES:
            self.recent.append(Recent(self._number, start, end, payload))
        self.written = (self._number, end)
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

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
