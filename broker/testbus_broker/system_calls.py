"""System calls as they were when this was imported: what a test puts in their place in `os` does not reach it.

Records are appended in the tests' own process. A test that replaces `os.write` must neither see our calls nor lose our
records.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import zlib
from contextlib import suppress
from typing import Final

close = os.close
crc32 = zlib.crc32
fdatasync = os.fdatasync if hasattr(os, "fdatasync") else os.fsync
flock = fcntl.flock
fstat = os.fstat
fsync = os.fsync
ftruncate = os.ftruncate
open = os.open  # noqa: A001 it is that call
pread = os.pread
pwrite = os.pwrite
rename = os.rename
scandir = os.scandir
unlink = os.unlink
urandom = os.urandom
write = os.write

_fcntl = fcntl.fcntl

#: Descriptors of ours have at least this number, where the process may have so many: files that tests open get the
#: numbers that they ever had, and closing all the usual ones closes none of ours.
_HIGH: Final = 1000

#: How far below a lower limit ours begin.
_BELOW: Final = 32


#: What `mark` leaves on an open file: the signal for input on it, which nobody asks for on a file, and which asking for
#: costs a tenth of what `fstat` does. Linux only.
_GET_MARK: Final[int] = getattr(fcntl, "F_GETSIG", 0)
_MARK: Final[int] = getattr(signal, "SIGRTMAX", 0)


def mark(descriptor: int) -> bool:
    """Make an open file one that `is_marked` knows; False where the system cannot."""
    if not _GET_MARK:
        return False
    with suppress(OSError):
        _fcntl(descriptor, fcntl.F_SETSIG, _MARK)
        return is_marked(descriptor)
    return False


def is_marked(descriptor: int) -> bool:
    """Tell whether a descriptor is a file that was marked: no other has what a mark is made of."""
    try:
        return _fcntl(descriptor, _GET_MARK) == _MARK
    except OSError:
        return False


def lifted(descriptor: int) -> int:
    """Return the same open file under a high number, closed when another program is executed."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    lowest = _HIGH if soft == resource.RLIM_INFINITY else min(_HIGH, soft - _BELOW)
    if lowest > descriptor:
        with suppress(OSError):
            high = _fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
            close(descriptor)
            return high
    return descriptor


def is_same(descriptor: int, identity: tuple[int, int]) -> bool:
    """Tell whether a descriptor is still the file with this device and number: somebody may have closed it."""
    try:
        known = fstat(descriptor)
    except OSError:
        return False
    return (known.st_dev, known.st_ino) == identity


def identity_of(descriptor: int) -> tuple[int, int]:
    """Return device and number of an open file."""
    known = fstat(descriptor)
    return known.st_dev, known.st_ino
