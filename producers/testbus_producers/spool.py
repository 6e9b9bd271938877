"""The spool: what a producer has to say, on this machine's disk before anything else happens with it.

One folder for each producer:

    <root>/<producer id>/lock            held (flock) while the producer's process lives
                         00000001.seg …  records, in the order in which they were said
                         journal         what was cut into which event, and what was confirmed (see `outbox`)

The thread that says something appends one record by one unbuffered write. Nothing is held in memory that a kill could
lose. Segments vanish when a broker has confirmed all of their events, the folder with the last of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from testbus_broker import segments
from testbus_broker.errors import SegmentError
from testbus_producers.errors import SpoolBusyError, SpoolError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A segment that has grown to so many bytes is followed by a new one.
SEGMENT_BYTES: Final = 4 * 1024 * 1024

#: How many of the last records are also kept in memory, so that the sender need not read the file behind the writer:
#: beside running tests each read waits for the interpreter lock. More than are written while a connection is made.
RECENT: Final = 8192

#: Bytes of the largest result that is kept so; larger ones, which are rare, are read.
RECENT_BYTES: Final = 4096

#: Name of the file by which a producer, or whoever sends its spool, says that it lives.
LOCK: Final = "lock"

#: Prefix of a folder that is not complete yet.
NEW: Final = ".new-"

_SUFFIX: Final = ".seg"


class Folder:
    """A producer's folder, locked by this process."""

    def __init__(self, path: Path, lock: int) -> None:
        """Take over a folder and the descriptor of its locked file."""
        #: Where it is.
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def create(cls, root: Path, producer: str) -> Folder:
        """Make and lock a new one; nobody sees it before it is locked. Raises SpoolError."""
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            hidden, path = root / f"{NEW}{producer}", root / producer
            hidden.mkdir(mode=0o700)
            lock = _lock(hidden)
            hidden.rename(path)
        except OSError as error:
            raise SpoolError(f"no spool can be made in {root}: {error.strerror or error}") from error
        return cls(path, lock)

    @classmethod
    def take(cls, path: Path) -> Folder:
        """Lock the folder of a producer that is gone.

        Raises SpoolBusyError when the producer lives, or somebody else sends its spool, or has just finished that.
        """
        try:
            lock = _lock(path)
        except OSError:
            raise SpoolBusyError(f"{path} is in use") from None
        if not os.fstat(lock).st_nlink:
            os.close(lock)
            raise SpoolBusyError(f"{path} was sent by somebody else")
        return cls(path, lock)

    def segment(self, number: int) -> Path:
        """Return where the segment with this number is."""
        return self.path / f"{number:08d}{_SUFFIX}"

    def numbers(self) -> list[int]:
        """Return the numbers of the segments that are there."""
        return sorted(int(path.stem) for path in self.path.glob(f"*{_SUFFIX}") if path.stem.isdecimal())

    def records(self, number: int, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int]]:
        """Yield the whole records of a segment between two offsets, each with the offset of its end."""
        for record in segments.SegmentReader(self.segment(number), start):
            if end is not None and record.end > end:
                return
            yield record.payload, record.end

    def remove(self) -> None:
        """Delete the folder: all was confirmed."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Give up the lock."""
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                os.close(lock)


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
        """Append a record; False when it does not fit (`always` takes it all the same) or the disk refuses."""
        if not always and self._appended - self.freed + len(body) > self._max_bytes:
            return False
        try:
            if self.written[1] > SEGMENT_BYTES:
                self._follow()
            payload = kind + body
            end = self._file.append(payload)
        except (OSError, SegmentError):
            return False
        start = self.written[1]
        self._appended += end - start
        if always or len(payload) <= RECENT_BYTES:
            self.recent.append(Recent(self._number, start, end, payload))
        self.written = (self._number, end)
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _follow(self) -> None:
        following = segments.SegmentWriter(self._folder.segment(self._number + 1))
        self._file.close()
        self._file = following
        self._number += 1
        self.written = (self._number, 0)


def folders(root: Path) -> list[Path]:
    """Return the folders of all producers under a root, the oldest first."""
    try:
        return sorted(path for path in root.iterdir() if not path.name.startswith(".") and (path / LOCK).exists())
    except OSError:
        return []


def _lock(folder: Path) -> int:
    """Return the descriptor of the folder's locked file; it is not inherited. Raises OSError when it is held."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
