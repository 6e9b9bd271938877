"""The log: the in-process twin of exchange and stream, in files that several processes append to and read.

Every process that appends has segments of its own, `<home>/log/<writer>-<number>.events`. A record of them is one line
of JSON that says what the broker would keep of the message (routing key, headers, …), a line feed, and the raw body.
A reader's place is a cursor: for each segment, the offset behind the last record it read.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from testbus_broker.errors import Unconfirmed
from testbus_broker.message import EVENTS_EXCHANGE, Message
from testbus_broker.segments import SegmentReader, SegmentWriter, is_owned, list_segments, segment_name
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path

    from testbus_broker.segments import Segment, SegmentRecord

#: Ending of the log's segments.
SUFFIX: Final = ".events"

#: Bytes after which a writer begins its next segment; retention removes whole segments.
SEGMENT_BYTES: Final = 16 << 20

_OPTIONAL: Final = ("content_encoding", "message_id", "reply_to", "correlation_id", "timestamp")

_diary = logging.getLogger(__name__)


class EventLog:
    """Appends messages to the log of a home, and reads everybody's; a `Publisher` of its own kind.

    Safe in several threads, and in a child of a fork, which gets segments of its own.
    """

    def __init__(self, home: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Take the folder that is TESTBUS_HOME; nothing is created before the first append."""
        self.folder = home / "log"
        self._segment_bytes = segment_bytes
        self._ends: dict[str, tuple[int, int]] = {}
        self._writer: SegmentWriter | None = None
        self._begin_process()

    def append(self, messages: Iterable[Message]) -> None:
        """Append messages in their order; OSError (disk full) leaves those before the failing one in the log."""
        if self._pid != os.getpid():
            self._begin_process()
        with self._lock:
            for message in messages:
                self._writer_with_room().append(_encode(message))

    def publish(self, messages: Sequence[Message], timeout: float) -> None:  # noqa: ARG002 a disk has no patience
        """Append messages as a `Publisher`: raises Unconfirmed with those that the disk did not take."""
        done = 0
        try:
            for message in messages:
                self.append([message])
                done += 1
        except OSError as error:
            raise Unconfirmed(messages[done:], f"{self.folder}: {error.strerror or error}") from error

    def read(self, cursor: Mapping[str, int]) -> Iterator[tuple[Message, dict[str, int]]]:
        """Yield each message beyond the cursor with the cursor behind it, to the end of the log as it is now.

        An empty cursor begins at the oldest message. Segments that were pruned drop out of the cursor. Messages of
        one writer come in its order. When there is nothing new this only looks at the sizes of the files.
        """
        segments = list_segments(self.folder, SUFFIX)
        place = {segment.name: cursor[segment.name] for segment in segments if segment.name in cursor}
        for segment in segments:
            for message, end in self._beyond(segment, place.get(segment.name, 0)):
                place = {**place, segment.name: end}
                yield message, place

    def end(self) -> dict[str, int]:
        """Return the cursor behind all that is in the log now."""
        cursor = {}
        for segment in list_segments(self.folder, SUFFIX):
            for _, end in self._records(segment, 0):
                cursor[segment.name] = end
        return cursor

    def prune(self, older_than: timedelta) -> int:
        """Remove segments that nobody wrote to for so long and whose writer is gone; return how many."""
        limit = time.time() - older_than.total_seconds()
        removed = 0
        for segment in list_segments(self.folder, SUFFIX):
            if _size_and_time(segment)[1] < limit and not is_owned(segment.path):
                segment.path.unlink(missing_ok=True)
                removed += 1
        return removed

    def close(self, timeout: float = 0) -> None:  # noqa: ARG002 there is nothing to wait for
        """Give up the segment that this process writes; a later append begins another."""
        with self._lock:
            if self._writer:
                self._writer.close()
            self._writer = None

    def _begin_process(self) -> None:
        """Begin as a writer that nobody else is; a lock that the parent held at the fork is not ours to wait for."""
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._name = new_id()
        self._number = 0
        self._writer = None

    def _writer_with_room(self) -> SegmentWriter:
        if self._writer and self._writer.size >= self._segment_bytes:
            self._writer.close()
            self._writer = None
        if self._writer is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._number += 1
            self._writer = SegmentWriter(self.folder / segment_name(self._name, self._number, SUFFIX))
        return self._writer

    def _beyond(self, segment: Segment, offset: int) -> Iterator[tuple[Message, int]]:
        size = _size_and_time(segment)[0]
        # A tail that a crash tore is looked at once, not at every read.
        if offset >= size or self._ends.get(segment.name) == (offset, size):
            return
        for record in self._records(segment, offset):
            offset = record.end
            message = _decode(record.payload)
            if message is None:
                _diary.warning("skipped a record before %d in %s: it is no message", offset, segment.path)
            else:
                yield message, offset
        self._ends[segment.name] = (offset, size)

    @staticmethod
    def _records(segment: Segment, offset: int) -> Iterator[SegmentRecord]:
        reader = SegmentReader(segment.path, offset)
        try:
            yield from reader
        except FileNotFoundError:
            return
        if reader.damages:
            _diary.warning("skipped %d damaged byte(s) of %s", reader.damaged_bytes, segment.path)


def _size_and_time(segment: Segment) -> tuple[int, float]:
    try:
        found = segment.path.stat()
    except FileNotFoundError:
        return 0, float("inf")
    return found.st_size, found.st_mtime


def _encode(message: Message) -> bytes:
    header: dict[str, object] = {"routing_key": message.routing_key, "content_type": message.content_type}
    if message.exchange != EVENTS_EXCHANGE:
        header["exchange"] = message.exchange
    if message.headers:
        header["headers"] = dict(message.headers)
    header.update((name, value) for name in _OPTIONAL if (value := getattr(message, name)) is not None)
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + message.body


def _decode(payload: bytes) -> Message | None:
    """Return the message of a record; None when this version cannot read it."""
    line, _, body = payload.partition(b"\n")
    try:
        header = json.loads(line)
        return Message(
            body=body,
            routing_key=header["routing_key"],
            exchange=header.get("exchange", EVENTS_EXCHANGE),
            headers=header.get("headers", {}),
            content_type=header["content_type"],
            **{name: header[name] for name in _OPTIONAL if name in header},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
