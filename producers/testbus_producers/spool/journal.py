"""The journal of a spool: which records became which event, and which events were confirmed.

Its records are JSON arrays: `["builder", producer id, context]` once, `["cut", sequence, kind, segment, start, end,
count, time]` before an event is published (of results with the places of those whose memory is known, and their KiB),
`["confirmed", sequence, …]` after; `["damaged", number]` says how many stretches of records could not be read when
they were cut. `["relayed", sequence, kind, start, end, time, segment, end]` is the cut of a record of the relay's own,
and up to where the segments were cut then. Others are a newer version's, and are passed over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from testbus_broker import segments
from testbus_broker.errors import SegmentError
from testbus_producers import clock
from testbus_producers.spool import event_builder
from testbus_producers.spool.event_builder import Cut, EventBuilder
from testbus_producers.spool.folder import RELAYED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbus_producers.spool.folder import Folder


#: Name of the file.
JOURNAL: Final = "journal"


class Journal:
    """What is known of a spool's events. For one thread."""

    def __init__(self, folder: Folder) -> None:
        """Read what was written before; OSError when the file can be neither read nor made."""
        self._folder = folder
        #: Who says all this; None before it was written down.
        self.builder: EventBuilder | None = None
        #: Events that are not confirmed, by sequence, in their order.
        self.pending: dict[int, Cut] = {}
        #: Segment and offset up to which records became events.
        self.cut_to = (1, 0)
        #: Kinds of records of the relay's own that became events, and up to where they did.
        self.relayed: set[bytes] = set()
        self.relayed_to = 0
        #: Number of events so far.
        self.sequence = 0
        #: Results in all events so far, and in those that were confirmed.
        self.results = self.confirmed_results = 0
        #: Tests collected; None when nothing said so.
        self.collected: int | None = None
        #: Whether the producer's end is among the events.
        self.finished = False
        #: Stretches of records that could not be read when they were cut.
        self.damages = 0
        self._unwritten: list[int] = []
        self._file = segments.SegmentWriter(folder.path / JOURNAL)
        for record in segments.SegmentReader(self._file.path):
            self._take(*json.loads(record.payload))

    def begin(self, producer: str, context: Mapping[str, Any]) -> EventBuilder:
        """Write down whose events they are, once for all; the first one holds."""
        if self.builder is None:
            self._write(["author", producer, context])
            self.builder = EventBuilder.of(producer, context)
        return self.builder

    def cut(self, cut: Cut) -> None:
        """Write down an event; only then it may be published. OSError when the disk refuses."""
        head, place = [cut.sequence, cut.kind.decode()], (cut.start, cut.end)
        if cut.segment == RELAYED:
            self._write(["relayed", *head, *place, cut.time, *self.cut_to])
        else:
            memory = [cut.memory] if cut.memory else []
            self._write(["cut", *head, cut.segment, *place, cut.count, cut.time, *memory])
        self.note(cut)

    def confirm(self, cuts: Iterable[Cut]) -> bool:
        """Write down that the broker has these; False when the disk refuses, and nothing may be deleted for it."""
        confirmed = [cut for cut in cuts if self.pending.pop(cut.sequence, None) is not None]
        self._note_confirmed(confirmed)
        self._unwritten += [cut.sequence for cut in confirmed]
        if self._unwritten:
            try:
                self._write(["confirmed", *self._unwritten])
            except OSError:
                return False
            self._unwritten = []
        return True

    def damage(self, stretches: int) -> None:
        """Write down that so many stretches of records cannot be read."""
        self._write(["damaged", stretches])
        self.damages += stretches

    def note(self, cut: Cut) -> None:
        """Count an event that is to be published."""
        self.sequence = cut.sequence
        self.pending[cut.sequence] = cut
        if cut.segment == RELAYED:
            self.relayed.add(cut.kind)
            self.relayed_to = cut.end
            return
        self.cut_to = max(self.cut_to, (cut.segment, cut.end))
        if cut.kind == event_builder.RESULT:
            self.results += cut.count
        elif cut.kind == event_builder.COLLECTED:
            self.collected = (self.collected or 0) + cut.count
        elif cut.kind == event_builder.FINISHED:
            self.finished = True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, record: list[Any]) -> None:
        payload = event_builder.to_json(record)
        try:
            self._file.append(payload)
        except OSError:
            if not self._folder.give_reserve():
                raise
            self._file.append(payload)

    def _take(self, what: str, *fields: Any) -> None:
        """Take what a record says."""
        if what == "author":
            self.builder = EventBuilder.of(fields[0], fields[1])
        elif what == "cut":
            sequence, kind, segment, start, end, count, moment, *more = fields
            place = {"segment": segment, "start": start, "end": end}
            memory = tuple((at, kb) for at, kb in more[0]) if more else ()
            cut = Cut(sequence=sequence, kind=kind.encode(), count=count, time=moment, memory=memory, **place)
            if sequence == self.sequence + 2:
                self._restore(cut, (segment, start))
            self.note(cut)
        elif what == "relayed":
            sequence, kind, start, end, moment, *cut_to = fields
            place = {"segment": RELAYED, "start": start, "end": end}
            cut = Cut(sequence=sequence, kind=kind.encode(), count=1, time=moment, **place)
            if sequence == self.sequence + 2:
                self._restore(cut, (cut_to[0], cut_to[1]))
            self.note(cut)
        elif what == "confirmed":
            self._note_confirmed([self.pending.pop(number) for number in fields if number in self.pending])
        elif what == "damaged":
            self.damages += fields[0]

    def _restore(self, following: Cut, until: tuple[int, int]) -> None:
        """Make the one cut again that was lost with a damaged record: it lies between its neighbours.

        `until` is up to where the segments were cut when `following` was; what they do not have, the relay recorded.
        """
        begins = {self.cut_to[0]: self.cut_to[1], RELAYED: self.relayed_to}
        ends = {until[0]: until[1]} | ({RELAYED: following.start} if following.segment == RELAYED else {})
        for segment in (*range(self.cut_to[0], until[0] + 1), RELAYED):
            start, end = begins.get(segment, 0), ends.get(segment)
            found = list(self._folder.records(segment, start, end))
            known = [(payload, stop) for payload, stop in found if payload[:1] in event_builder.NAMES]
            if known:
                payload, stop = known[0 if segment == RELAYED else -1]
                kind = payload[:1]
                count = len(known) if kind == event_builder.RESULT else count_of(kind, payload[1:])
                place = {"segment": segment, "start": start, "end": stop}
                self.note(Cut(sequence=self.sequence + 1, kind=kind, count=count, time=following.time, **place))
                return

    def _note_confirmed(self, cuts: Iterable[Cut]) -> None:
        self.confirmed_results += sum(cut.count for cut in cuts if cut.kind == event_builder.RESULT)


def count_of(kind: bytes, body: bytes) -> int:
    """Return how many results or collected tests a record of another kind than results stands for."""
    return len(json.loads(body)["node_ids"]) if kind == event_builder.COLLECTED else 1


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
