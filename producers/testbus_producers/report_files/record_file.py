"""The shelf: records of files that are being read, on disk until it is known that the whole file can be read."""

from __future__ import annotations

import struct
import tempfile
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Before each record: its kind and its length in bytes.
_HEAD: Final = struct.Struct("!cI")


class Shelf:
    """A temporary file of records; it is gone when the process is."""

    def __init__(self) -> None:
        """Open the file."""
        self._file = tempfile.TemporaryFile(prefix="testbus-")  # noqa: SIM115 closed by `__exit__`

    def __enter__(self) -> Self:
        """Return the shelf."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Drop everything."""
        self._file.close()

    @property
    def end(self) -> int:
        """Return where the next record begins."""
        return self._file.seek(0, 2)

    def put(self, kind: bytes, body: bytes) -> None:
        """Add a record."""
        self._file.write(_HEAD.pack(kind, len(body)))
        self._file.write(body)

    def drop(self, start: int) -> None:
        """Take back every record from `start` on."""
        self._file.truncate(start)
        self._file.seek(start)

    def records(self, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield kind and body of the records between two places."""
        while start < end:
            self._file.seek(start)
            kind, length = _HEAD.unpack(self._file.read(_HEAD.size))
            yield kind, self._file.read(length)
            start += _HEAD.size + length
