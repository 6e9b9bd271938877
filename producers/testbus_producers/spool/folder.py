"""The spool: what a producer has to say, on this machine's disk before anything else happens with it.

One folder for each producer:

    <root>/<producer id>/lock            held (flock) while the producer's process lives; says the spool's format
                         00000001.seg …  records, in the order in which they were said
                         journal         what was cut into which event, and what was confirmed (see `outbox`)
                         reserve         room that is given back when the disk is full, so that the end can be reported
                         relayed         records of the relay's own: what it found out about the code and the machine
                         progress        what the relay has sent, and the producer's last word (see `progress`)
                         stopped         not empty: a signal that asks a process to end has ended the producer's

The thread that says something appends one record by one unbuffered write. Nothing is held in memory that a kill could
lose. Segments vanish when a broker has confirmed all of their events, the folder with the last of them. Folders whose
names begin with a dot are not there yet, or not any more.

The lock is one open file of the producer's process and of its relay: it is free when both are gone. Of the two the
producer alone holds its last segment, so that the relay sees when it is gone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import hashlib
import os
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from testbus_broker import segments
from testbus_broker import system_calls as system
from testbus_producers import clock
from testbus_producers.errors import SpoolBusyError, SpoolError
from testbus_producers.progress import PROGRESS, Progress
from testbus_producers.spool import event_builder

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Version of what is in the files; a flush leaves alone what a newer version wrote, and reads what an older one did: 1
#: had no short records of tests that passed (`event_builder.PASSED`).
FORMAT: Final = 2

#: Name of the file by which a producer, or whoever sends its spool, says that it lives.
LOCK: Final = "lock"

#: Prefix of a folder that is not complete yet.
NEW: Final = ".new-"

#: Prefix of a folder all of which was confirmed.
DONE: Final = ".done-"

#: Name of the file that holds room for the journal and for the producer's end.
RESERVE: Final = "reserve"

#: Bytes of it: some thousand cuts and confirms.
RESERVE_BYTES: Final = 256 * 1024

#: Seconds after which a folder that is not complete yet is one that a kill left behind.
ABANDONED_S: Final = 86400.0

#: Name of the file that is not empty when a signal has ended the producer's process.
STOPPED: Final = "stopped"

#: Number that stands for the file of the relay's own records, among those of segments; and its name.
RELAYED: Final = -1
_RELAYED_NAME: Final = "relayed"

_SUFFIX: Final = ".seg"


class Folder:
    """A producer's folder, locked by this process."""

    def __init__(self, path: Path, lock: int) -> None:
        """Take over a folder and the descriptor of its locked file."""
        #: Where it is.
        self.path = path
        #: How many damaged stretches were passed over in all readings.
        self.damages = 0
        self._lock: int | None = lock
        self._identity = system.identity_of(lock)

    @property
    def lock(self) -> int:
        """Return the descriptor of the locked file, for the relay to share."""
        assert self._lock is not None
        return self._lock

    @classmethod
    def create(cls, root: Path, producer: str) -> Folder:
        """Make and lock a new one; nobody sees it before it is locked and has its reserve. Raises SpoolError."""
        hidden, path = root / f"{NEW}{producer}", root / producer
        lock = None
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            hidden.mkdir(mode=0o700)
            lock = _lock(hidden)
            os.write(lock, b"testbus spool %d\n" % FORMAT)
            _reserve(hidden / RESERVE)
            Progress.create(hidden / PROGRESS).close()
            hidden.rename(path)
        except OSError as error:
            if lock is not None:
                os.close(lock)
            shutil.rmtree(hidden, ignore_errors=True)
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
        # Whoever sent it renamed the folder first: the same file may still be there, under another name.
        if not _is_at(lock, path / LOCK):
            os.close(lock)
            raise SpoolBusyError(f"{path} was sent by somebody else")
        return cls(path, lock)

    def check_format(self) -> None:
        """Raise SpoolError for a spool that a newer version wrote; the first one said nothing."""
        words = (self.path / LOCK).read_bytes().split()
        if words and not (words[-1].isdigit() and int(words[-1]) <= FORMAT):
            raise SpoolError(f"{self.path} was written by a newer testbus: flush it with that version")

    def segment(self, number: int) -> Path:
        """Return where the segment with this number is; `RELAYED` is the one that the relay writes."""
        return self.path / (_RELAYED_NAME if number == RELAYED else f"{number:08d}{_SUFFIX}")

    def numbers(self) -> list[int]:
        """Return the numbers of the segments that are there."""
        return sorted(int(path.stem) for path in self.path.glob(f"*{_SUFFIX}") if path.stem.isdecimal())

    def records(self, number: int, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int]]:
        """Yield the whole records between two offsets of a segment as events have them, each with where it ends.

        Damage is passed over and counted; a segment that is gone is empty.
        """
        reader = segments.SegmentReader(self.segment(number), start)
        noted = 0
        with contextlib.suppress(FileNotFoundError):
            for record in reader:
                if end is not None and record.end > end:
                    return
                self.damages += reader.damages - noted
                noted = reader.damages
                yield event_builder.as_published(record.payload), record.end

    def used(self) -> int:
        """Return how many bytes all segments have that are there."""
        used = 0
        with contextlib.suppress(OSError), system.scandir(str(self.path)) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    with contextlib.suppress(OSError):
                        used += entry.stat().st_size
        return used

    def was_stopped(self) -> bool:
        """Tell whether a signal has ended the producer's process that asks a process to end."""
        try:
            return (self.path / STOPPED).stat().st_size > 0
        except OSError:
            return False

    def give_reserve(self) -> bool:
        """Delete the reserve, for there is no other room; False when that was done before."""
        try:
            (self.path / RESERVE).unlink()
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Delete the folder: all was confirmed. In one step for everybody else, however it ends."""
        hidden = self.path.with_name(f"{DONE}{self.path.name}")
        try:
            self.path.rename(hidden)
        except OSError:
            # Not to be deleted in parts: what is left of it would be taken for a spool.
            self.release()
            return
        shutil.rmtree(hidden, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Give up the lock."""
        lock, self._lock = self._lock, None
        if lock is not None and system.is_same(lock, self._identity):
            with contextlib.suppress(OSError):
                system.close(lock)


def create(root: Path, producer: str) -> Folder:
    """Make and lock a new folder: under the root, or where that cannot be used in the machine's own place for such.

    Raises SpoolError with the reason of the first.
    """
    try:
        return Folder.create(root, producer)
    except SpoolError:
        for other in roots(root)[1:]:
            with contextlib.suppress(SpoolError, OSError):
                _make_private(other)
                return Folder.create(other, producer)
        raise


def roots(root: Path) -> list[Path]:
    """Return where the spools of a root may be: there, and in this user's folders for it among the temporary files."""
    own = f"testbus-spool-{os.geteuid()}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
    places = [Path("/dev/shm")]  # noqa: S108 `_make_private` sees to it that it is ours alone
    with contextlib.suppress(OSError):
        places.insert(0, Path(tempfile.gettempdir()))
    return [root, *(place / own for place in places)]


def folders(root: Path) -> list[Path]:
    """Return the folders of all producers under a root, the oldest first; what a kill left half deleted is deleted."""
    try:
        found = sorted(root.iterdir())
    except OSError:
        return []
    for path in found:
        with contextlib.suppress(OSError):
            old = clock.now() - path.stat().st_mtime > ABANDONED_S
            if path.name.startswith(DONE) or (path.name.startswith(NEW) and old):
                shutil.rmtree(path, ignore_errors=True)
    return [path for path in found if not path.name.startswith(".") and ((path / LOCK).exists() or _has_segment(path))]


def is_live(path: Path) -> bool:
    """Tell whether the process still writes whose spool this is; one that only its relay holds is soon free."""
    return any(segments.is_owned(segment) for segment in sorted(path.glob(f"*{_SUFFIX}"))[-1:])


def _make_private(path: Path) -> None:
    """Make a folder in a place where everybody may; OSError when it is not ours alone."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} belongs to somebody else")


def _has_segment(path: Path) -> bool:
    """Tell whether it is a spool all the same: copying may leave out an empty file, or one that is locked."""
    return any(path.glob(f"*{_SUFFIX}"))


def _reserve(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        else:
            os.write(descriptor, bytes(RESERVE_BYTES))
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _lock(folder: Path) -> int:
    """Return the descriptor of the folder's locked file; it is not inherited. Raises OSError when it is held."""
    descriptor = system.lifted(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


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
