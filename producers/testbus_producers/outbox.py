"""From the spool to events: which records become which event is decided once, and written down before it is sent.

The journal's records are JSON arrays: `["author", producer id, context]` once, `["cut", sequence, kind, segment,
start, end, count, time]` before an event is published, `["confirmed", sequence, …]` after. So whoever comes later,
this process or another, makes the same events again, byte for byte.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from testbus_broker import segments
from testbus_producers import events
from testbus_producers.context import utc_text
from testbus_producers.events import Author, Cut
from testbus_schemas import wire

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable, Mapping

    from testbus_broker.message import Message
    from testbus_producers.spool import Folder, Recent

#: How many events' records are kept in memory until they are sent; those of the others are read again.
BODIES: Final = 16

#: Name of the file that holds cuts and confirms.
JOURNAL: Final = "journal"


class Outbox:
    """The events of one spool. For one thread (the sender's, or a flush)."""

    def __init__(self, folder: Folder) -> None:
        """Read what the journal says; an empty one is begun by `begin`."""
        self._folder = folder
        self._author: Author | None = None
        self._pending: dict[int, Cut] = {}
        self._cut_to = (1, 0)
        self._bodies: dict[int, list[bytes]] = {}
        self._group: list[bytes] = []
        self._group_end = 0
        self._group_bytes = 0
        #: Number of events so far.
        self.sequence = 0
        #: Results in all events so far.
        self.results = 0
        #: Tests collected; None when nothing said so.
        self.collected: int | None = None
        #: Whether the producer's end is among the events.
        self.finished = False
        #: Results in confirmed events.
        self.confirmed_results = 0
        self._journal = segments.SegmentWriter(folder.path / JOURNAL)
        self._read_journal()

    @property
    def author(self) -> Author | None:
        """Return who says all this; None before `begin`."""
        return self._author

    @property
    def pending(self) -> list[Cut]:
        """Return the cuts that are not confirmed, in their order."""
        return list(self._pending.values())

    def begin(self, producer: str, context: Mapping[str, Any]) -> Author:
        """Write down the author, once for all events; the first one holds."""
        if self._author is None:
            self._write(["author", producer, context])
            self._author = Author.of(producer, context)
        return self._author

    def cut(self, written: tuple[int, int], recent: deque[Recent] | None = None) -> None:
        """Cut all that was written since into events.

        `recent` holds the records that were written last, as far as they need not be read.
        """
        segment, start = self._take_recent(written, recent) if recent else self._read_to()
        while segment <= written[0]:
            end = written[1] if segment == written[0] else None
            if start != end:
                for payload, offset in self._folder.records(segment, start, end):
                    self._take(segment, start, payload, offset)
                    start = offset
            if segment < written[0]:
                self._close_group()
                self._cut_to = (segment + 1, 0)
            segment, start = segment + 1, 0
        self._close_group()

    def message(self, cut: Cut) -> Message:
        """Return a cut's event."""
        assert self._author is not None
        bodies = self._bodies.pop(cut.sequence, None)
        if bodies is None:
            bodies = [payload[1:] for payload, _ in self._folder.records(cut.segment, cut.start, cut.end)]
        return self._author.event(cut, bodies)

    def confirm(self, cuts: Iterable[Cut]) -> int:
        """Note that the broker has these; return how many bytes of the spool could be deleted for it."""
        confirmed = [cut for cut in cuts if self._pending.pop(cut.sequence, None) is not None]
        if not confirmed:
            return 0
        self._write(["confirmed", *(cut.sequence for cut in confirmed)])
        self._note_confirmed(confirmed)
        return self._delete_done()

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    @property
    def empty(self) -> bool:
        """Tell whether the producer's end and all before it was confirmed."""
        return self.finished and not self._pending

    def _read_to(self) -> tuple[int, int]:
        return (self._cut_to[0], self._group_end) if self._group else self._cut_to

    def _take_recent(self, written: tuple[int, int], recent: deque[Recent]) -> tuple[int, int]:
        """Take records from memory as far as they follow what was read; return up to where that was."""
        while recent and (recent[0].segment, recent[0].end) <= written:
            record = recent.popleft()
            place = self._read_to()
            if (record.segment, record.start) == place:
                self._take(record.segment, record.start, record.payload, record.end)
            elif (record.segment, record.start) > place:
                break
        return self._read_to()

    def _take(self, segment: int, start: int, payload: bytes, end: int) -> None:
        kind, body = payload[:1], payload[1:]
        if kind == events.RESULT:
            full = len(self._group) >= wire.MAX_RESULTS_PER_EVENT
            if self._group and (full or self._group_bytes + len(payload) > wire.MAX_RESULTS_BYTES):
                self._close_group()
            self._group.append(body)
            self._group_end = end
            self._group_bytes += len(payload)
            return
        self._close_group()
        if kind in events.NAMES:
            count = len(json.loads(body)["node_ids"]) if kind == events.COLLECTED else 1
            self._add(kind, [body], (segment, start, end), count)
        self._cut_to = (segment, end)

    def _close_group(self) -> None:
        if self._group:
            group, self._group, self._group_bytes = self._group, [], 0
            self._add(events.RESULT, group, (*self._cut_to, self._group_end), len(group))

    def _add(self, kind: bytes, bodies: list[bytes], place: tuple[int, int, int], count: int) -> None:
        segment, start, end = place
        cut = Cut(
            sequence=self.sequence + 1,
            kind=kind,
            segment=segment,
            start=start,
            end=end,
            count=count,
            time=utc_text(time.time()),
        )
        self._write(["cut", cut.sequence, kind.decode(), segment, start, end, count, cut.time])
        self._note_cut(cut)
        if len(self._bodies) < BODIES:
            self._bodies[cut.sequence] = bodies

    def _note_cut(self, cut: Cut) -> None:
        self.sequence = cut.sequence
        self._pending[cut.sequence] = cut
        self._cut_to = (cut.segment, cut.end)
        if cut.kind == events.RESULT:
            self.results += cut.count
        elif cut.kind == events.COLLECTED:
            self.collected = (self.collected or 0) + cut.count
        elif cut.kind == events.FINISHED:
            self.finished = True

    def _note_confirmed(self, cuts: Iterable[Cut]) -> None:
        self.confirmed_results += sum(cut.count for cut in cuts if cut.kind == events.RESULT)

    def _delete_done(self) -> int:
        """Delete segments all of whose events were confirmed, and that nothing is appended to any more."""
        first = min((cut.segment for cut in self._pending.values()), default=self._cut_to[0])
        freed = 0
        for number in self._folder.numbers():
            if number >= first:
                break
            path = self._folder.segment(number)
            freed += path.stat().st_size
            path.unlink()
        return freed

    def _write(self, record: list[Any]) -> None:
        self._journal.append(events.to_json(record))

    def _read_journal(self) -> None:
        for record in segments.SegmentReader(self._journal.path):
            what, *fields = json.loads(record.payload)
            if what == "author":
                self._author = Author.of(fields[0], fields[1])
            elif what == "cut":
                sequence, kind, segment, start, end, count, moment = fields
                self._note_cut(
                    Cut(
                        sequence=sequence,
                        kind=kind.encode(),
                        segment=segment,
                        start=start,
                        end=end,
                        count=count,
                        time=moment,
                    )
                )
            elif what == "confirmed":
                self._note_confirmed([cut for number in fields if (cut := self._pending.pop(number, None)) is not None])
