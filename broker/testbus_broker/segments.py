"""Append-only record files: what was appended before a crash is read after it (standard library only).

A record is `length: u32 | checksum: u32 | payload`, little-endian; the checksum is the CRC-32 of the payload begun with
its length. Every append is one unbuffered write: a killed process leaves whole records and at most one torn tail. The
writer holds an exclusive flock for its life, which tells others that it is alive. The log and the runner's spool are
made of these; when to begin the next segment is theirs to decide.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from testbus_broker import system_calls as system
from testbus_broker.errors import RecordSizeError, SegmentClosedError, SegmentLockedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

#: Bound of one record's payload, in bytes; keeps a damaged length from being believed.
MAX_RECORD_BYTES: Final = (32 << 20) - 1

_HEADER: Final = struct.Struct("<II")

#: Bytes that a record has besides its payload.
RECORD_OVERHEAD: Final = _HEADER.size

#: The last byte of a believable length: where a record can begin again after damage.
_LENGTH_TOP: Final = re.compile(rb"[\x00\x01]")

#: Bytes that a search for the next record may checksum, so that a large damaged file costs a bounded time.
_SEARCH_BUDGET: Final = 256 << 20


class SegmentRecord(NamedTuple):
    """One record of a segment."""

    #: What was appended.
    payload: bytes
    #: Offset in bytes just behind it: where to read on.
    end: int


def encode_record(payload: bytes) -> bytes:
    """Return the bytes of one record; RecordSizeError for an empty payload or one above `MAX_RECORD_BYTES`."""
    length = len(payload)
    if not 0 < length <= MAX_RECORD_BYTES:
        raise RecordSizeError(f"a record has 1 to {MAX_RECORD_BYTES} bytes, not {length}: cut it into several")
    return _HEADER.pack(length, system.crc32(payload, length)) + payload


#: Bytes read at once: each read gives up the interpreter lock, and a reader beside running tests waits to get it back.
_READ_BYTES: Final = 1 << 18


class SegmentWriter:
    """The one writer of a segment file; safe to use from several threads.

    In a forked child the writer is closed: the file stays the parent's. A program may close descriptors that are not
    its own, and open files of its own under their numbers: before each append the writer looks whether it has its file.
    """

    def __init__(self, path: Path, *, fsync: bool = False) -> None:
        """Create the file (mode 0600), or go on with one whose writer is gone, cutting off its torn tail.

        A new file is seen by others only when it is locked already. `fsync` makes each append wait for the disk.
        Raises SegmentLockedError when a live process writes it, OSError from the file system. No two processes may
        create the same path: put something unique in its name.
        """
        self.path = path
        self._fsync = fsync
        # Re-entrant: a signal handler may append in the middle of an append.
        self._lock = threading.RLock()
        #: Whether its descriptor can be told by a mark, and whether its size is known for sure.
        self._has_mark = self._is_known = False
        try:
            self._fd = system.lifted(system.open(path, os.O_RDWR | os.O_APPEND))
        except FileNotFoundError:
            self._fd, self._size = _create(path), 0
        else:
            self._size = self._take_over()
        self._know()
        _open_writers.add(self)

    @property
    def size(self) -> int:
        """Return the size of the file in bytes, all of it whole records."""
        return self._size

    @property
    def closed(self) -> bool:
        """Tell whether it was closed, or was inherited by a fork."""
        return self._fd < 0

    def append(self, payload: bytes) -> int:
        """Append one record and return the offset behind it.

        Raises RecordSizeError, SegmentClosedError, or OSError (disk full): then nothing of the record is in the file.
        """
        record = encode_record(payload)
        with self._lock:
            if self._fd < 0:
                raise SegmentClosedError
            before = self._size if self._is_known and system.is_marked(self._fd) else self._size_now()
            # An interrupt may come between the write and the sum: then the kernel is asked how much there is.
            self._is_known = False
            written = system.write(self._fd, record)
            if written != len(record) or self._fsync:
                self._finish(record, written, before)
            self._size = before + len(record)
            self._is_known = self._has_mark
            return self._size

    def sync(self) -> None:
        """Wait until all that was appended is on the disk."""
        with self._lock:
            if self._fd >= 0:
                system.fsync(self._fd)

    def close(self) -> None:
        """Close the file and give up the lock; closing twice is allowed."""
        with self._lock:
            self._abandon()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _size_now(self) -> int:
        """Return the file's size; opens it again when its descriptor is not ours any more."""
        try:
            known = system.fstat(self._fd)
        except OSError:
            known = None
        if known is None or (known.st_dev, known.st_ino) != self._identity:
            self._fd = system.lifted(system.open(self.path, os.O_RDWR | os.O_APPEND))
            self._take_over()
            self._know()
            known = system.fstat(self._fd)
        return known.st_size

    def _know(self) -> None:
        """Note by what the file is known again."""
        self._identity = system.identity_of(self._fd)
        self._has_mark = self._is_known = system.mark(self._fd)

    def _take_over(self) -> int:
        """Lock an existing file and return the size that whole records have."""
        try:
            _lock(self._fd, self.path)
            reader = SegmentReader(self.path)
            for _ in reader:
                pass
            system.ftruncate(self._fd, reader.offset)
        except BaseException:
            system.close(self._fd)
            self._fd = -1
            raise
        return reader.offset

    def _finish(self, record: bytes, written: int, before: int) -> None:
        """Write what the kernel left over (as a rule the next write says: disk full) and sync; or take it all back."""
        try:
            while written < len(record):
                written += system.write(self._fd, record[written:])
            if self._fsync:
                system.fdatasync(self._fd)
        except OSError:
            system.ftruncate(self._fd, before)
            raise

    def _abandon(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0 and system.is_same(fd, self._identity):
            # What a disk says only now (a quota, a network file system) cannot be mended by those who close.
            with suppress(OSError):
                system.close(fd)


class SegmentReader:
    """Reads a segment from an offset, also while it is written; iterate again to read what was appended since.

    Damaged bytes with a whole record after them are skipped and counted; with none after them they are the torn tail,
    or a record that is just being written, and the iteration ends before them.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        """Take the file and where to begin: 0, or the end of a record."""
        self.path = path
        #: Offset behind the last whole record that was read.
        self.offset = offset
        #: How many damaged stretches were skipped.
        self.damages = 0
        #: How many bytes they had.
        self.damaged_bytes = 0

    def __iter__(self) -> Iterator[SegmentRecord]:
        """Yield the records from `offset` on; raises OSError (the file is gone)."""
        with self.path.open("rb", buffering=_READ_BYTES) as file:
            file.seek(self.offset)
            while True:
                payload = _read_payload(file)
                if payload is None:
                    if not self._skip_damage(file):
                        return
                    continue
                self.offset += _HEADER.size + len(payload)
                yield SegmentRecord(payload, self.offset)

    def _skip_damage(self, file: BinaryIO) -> bool:
        """Go to the next whole record from the offset on; False when there is none.

        That at the offset itself was being written when it was read, and is whole by now.
        """
        file.seek(self.offset)
        start = _find_record(file.read())
        if start is None:
            return False
        self.damages += int(start > 0)
        self.damaged_bytes += start
        self.offset += start
        file.seek(self.offset)
        return True


def is_owned(path: Path) -> bool:
    """Tell whether a live process writes this segment; False also when the file is gone."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _create(path: Path) -> int:
    """Create a file under a hidden name, lock it, and only then let it appear."""
    # Named anew each time: one that a kill left behind must not be in the way of whoever comes later.
    hidden = f"{path.parent}{os.sep}.{path.name}.{system.urandom(6).hex()}.new"
    fd = system.lifted(system.open(hidden, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        _lock(fd, path)
        system.rename(hidden, path)
    except BaseException:
        system.close(fd)
        with suppress(FileNotFoundError):
            system.unlink(hidden)
        raise
    return fd


def _lock(fd: int, path: Path) -> None:
    try:
        system.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SegmentLockedError(f"a live process writes {path}: leave it alone until that process is gone") from None
    if not system.fstat(fd).st_nlink:
        raise FileNotFoundError(errno.ENOENT, "another process removed it meanwhile", str(path))


def _read_payload(file: BinaryIO) -> bytes | None:
    """Return the payload of the record that begins here; None when there is no whole one."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    length, checksum = _HEADER.unpack(header)
    if not 0 < length <= MAX_RECORD_BYTES:
        return None
    payload = file.read(length)
    return payload if len(payload) == length and system.crc32(payload, length) == checksum else None


def _find_record(data: bytes) -> int | None:
    """Return where in the data the first whole record begins."""
    view = memoryview(data)
    budget = _SEARCH_BUDGET
    for match in _LENGTH_TOP.finditer(data, 3):
        start = match.start() - 3
        if start + _HEADER.size > len(data):
            return None
        length, checksum = _HEADER.unpack_from(data, start)
        body = start + _HEADER.size
        if not 0 < length <= min(MAX_RECORD_BYTES, len(data) - body):
            continue
        budget -= length
        if budget < 0:
            return None
        if system.crc32(view[body : body + length], length) == checksum:
            return start
    return None


_open_writers: weakref.WeakSet[SegmentWriter] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Close the parent's writers here, or this process would keep their locks when the parent is gone."""
    for writer in list(_open_writers):
        writer._lock = threading.RLock()  # noqa: SLF001 another thread of the parent may have held it
        writer._abandon()  # noqa: SLF001 the other half of the class


os.register_at_fork(after_in_child=_after_fork_in_child)

_SEGMENT_NAME: Final = r"(?P<writer>.+)-(?P<number>\d{6,})(?P<suffix>\.[a-z]+)"


@dataclass(frozen=True, kw_only=True, order=True)
class Segment:
    """A segment file among others: sorted by writer, then in the order of writing."""

    #: Who wrote it.
    writer: str
    #: 1, 2, … for each writer.
    number: int
    #: The file.
    path: Path

    @property
    def name(self) -> str:
        """Return the file's name without its folder."""
        return self.path.name


def segment_name(writer: str, number: int, suffix: str) -> str:
    """Return the file name of a writer's segment number 1, 2, …; the suffix begins with a dot."""
    return f"{writer}-{number:06d}{suffix}"


def list_segments(folder: Path, suffix: str) -> list[Segment]:
    """Return the segments in a folder, sorted; none when there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except FileNotFoundError:
        return []
    found = (re.fullmatch(_SEGMENT_NAME, name) for name in names if name.endswith(suffix))
    return sorted(
        Segment(writer=match["writer"], number=int(match["number"]), path=folder / match[0])
        for match in found
        if match and match["suffix"] == suffix and not match[0].startswith(".")
    )
