"""A report file as a producer of its run: the same file gives the same events, with the same ids."""

from __future__ import annotations

import platform
import struct
import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from testbus_producers.context import run_context
from testbus_producers.spool import event_builder
from testbus_schemas import identity, wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from testbus_broker.message import Message
    from testbus_producers.report_files import ReportFile


#: Bound in characters of why a file could not be read.
_MAX_DETAIL: Final = 1000


@dataclass(kw_only=True)
class PublishedFile:
    """What became of one file."""

    #: What it turned out to be.
    report: ReportFile
    #: Digest of its bytes; empty when there are none to be had.
    digest: str = ""
    #: Its results, by outcome.
    outcomes: dict[str, int] = field(default_factory=dict)
    #: Source files whose coverage it holds.
    covered: int = 0
    #: Files that are attached to its tests.
    attachments: int = 0
    #: Metrics and benchmarks in it.
    measured: int = 0
    #: Why it could not be read; None when it could.
    error: str | None = None
    #: Why it was passed over: it is no report, and only a glob or a folder means it; None when it was not.
    foreign: str | None = None
    #: The file before it that has the same bytes; such a copy is not published.
    copy_of: Path | None = None
    #: Where its records are in the record file.
    span: tuple[int, int] = (0, 0)

    @property
    def results(self) -> int:
        """Return how many results it holds."""
        return sum(self.outcomes.values())


def messages_of(known: dict[str, Any], files: Sequence[PublishedFile], record_file: RecordFile) -> Iterator[Message]:
    """Yield the messages: first that every file has begun, at last that each is done, so that the run ends once."""
    producers = [_FileProducer(known, file) for file in files]
    for producer in producers:
        yield producer.started()
    for producer in producers:
        yield from producer.recorded(record_file)
    for producer in producers:
        yield producer.finished()


class _FileProducer:
    """Numbers the events of one file."""

    def __init__(self, known: dict[str, Any], file: PublishedFile) -> None:
        """Give it an id that is the same whenever the file is published for this run."""
        shard = known["shard"]["index"] if known["shard"] else 0
        place = (known["project"], known["run"], known["variant"], shard, known["attempt"])
        self._author = event_builder.EventBuilder.of(identity.derived_id("report", *place, file.digest), known)
        self._file = file
        self._sequence = 0
        ended = file.report.ended
        self._time = run_context.utc_text(min(ended, time.time()) if ended is not None else time.time())

    def started(self) -> Message:
        """Return the first event."""
        tool, _, version = (self._file.report.tool or "report").partition(" ")
        return self._event(event_builder.STARTED, [{"tool": tool, "tool_version": version, "host": platform.node()}])

    def recorded(self, record_file: RecordFile) -> Iterator[Message]:
        """Yield what the file says, in its order, results in events of a bounded size."""
        waiting: list[bytes] = []
        size = 0
        for kind, body in record_file.records(*self._file.span):
            full = len(waiting) == wire.MAX_RESULTS_PER_EVENT or size + len(body) > wire.MAX_RESULTS_BYTES
            if waiting and (full or kind != event_builder.RESULT):
                yield self._cut(event_builder.RESULT, waiting)
                waiting, size = [], 0
            if kind == event_builder.RESULT:
                waiting.append(body)
                size += len(body)
            else:
                yield self._cut(kind, [body])
        if waiting:
            yield self._cut(event_builder.RESULT, waiting)

    def finished(self) -> Message:
        """Return the last event, which says how many there were."""
        error = self._file.error
        end: dict[str, Any] = {"status": "finished" if error is None else "failed_to_start"}
        end |= {"exit_status": None, "collected": None, "reported": self._file.results, "dropped": 0}
        if error is not None:
            end["detail"] = error[:_MAX_DETAIL]
        return self._event(event_builder.FINISHED, [end])

    def _event(self, kind: bytes, data: list[dict[str, Any]]) -> Message:
        return self._cut(kind, [event_builder.to_json(one) for one in data])

    def _cut(self, kind: bytes, bodies: list[bytes]) -> Message:
        self._sequence += 1
        cut = event_builder.Cut(
            sequence=self._sequence, kind=kind, segment=0, start=0, end=0, count=len(bodies), time=self._time
        )
        return self._author.event(cut, bodies)


#: Before each record: its kind and its length in bytes.
_HEAD: Final = struct.Struct("!cI")


class RecordFile:
    """A temporary file of records; it is gone when the process is."""

    def __init__(self) -> None:
        """Open the file."""
        self._file = tempfile.TemporaryFile(prefix="testbus-")  # noqa: SIM115 closed by `__exit__`

    def __enter__(self) -> Self:
        """Return the file."""
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
