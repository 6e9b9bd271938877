"""From the spool to events: which records become which event is decided once, and written down before it is sent.

So whoever comes later, this process or another, makes the same events again, byte for byte (see `journal`). What cannot
be read any more is counted, and the producer's end says so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from testbus_broker import segments
from testbus_broker.errors import SegmentError
from testbus_producers import clock
from testbus_producers.context.run_context import utc_text
from testbus_producers.spool import event_builder
from testbus_producers.spool.event_builder import Cut, EventBuilder
from testbus_producers.spool.folder import RELAYED
from testbus_producers.spool.journal import Journal, count_of
from testbus_schemas import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from testbus_broker.message import Message
    from testbus_producers.memory import Memory
    from testbus_producers.spool.folder import Folder

#: How many events' records are kept in memory until they are sent; those of the others are read again.
BODIES: Final = 16


class Outbox:
    """The events of one spool. For one thread (the sender's, or a flush)."""

    def __init__(
        self, folder: Folder, before_end: Callable[[Outbox], None] | None = None, memory: Memory | None = None
    ) -> None:
        """Read what the journal says; an empty one is begun by `begin`. OSError when there can be none.

        `before_end` is called before the producer's end is cut: the last moment to `record` something. `memory` knows
        the memory of results that are cut.
        """
        self._memory = memory
        self._folder = folder
        self._before_end = before_end
        self._journal = Journal(folder)
        self._bodies: dict[int, list[bytes]] = {}
        self._end: list[bytes] = []
        self._group: list[bytes] = []
        self._group_end = 0
        self._group_bytes = 0
        self._missing: dict[int, int] = {}

    @property
    def builder(self) -> EventBuilder | None:
        """Return who says all this; None before `begin`."""
        return self._journal.builder

    @property
    def pending(self) -> list[Cut]:
        """Return the cuts that are not confirmed, in their order."""
        return list(self._journal.pending.values())

    @property
    def sequence(self) -> int:
        """Return the number of events so far."""
        return self._journal.sequence

    @property
    def results(self) -> int:
        """Return how many results all events so far have."""
        return self._journal.results

    @property
    def confirmed_events(self) -> int:
        """Return how many events were confirmed."""
        return self._journal.sequence - len(self._journal.pending)

    @property
    def confirmed_results(self) -> int:
        """Return how many results the confirmed events have."""
        return self._journal.confirmed_results

    @property
    def collected(self) -> int | None:
        """Return how many tests were collected; None when nothing said so."""
        return self._journal.collected

    @property
    def finished(self) -> bool:
        """Tell whether the producer's end is among the events."""
        return self._journal.finished

    @property
    def empty(self) -> bool:
        """Tell whether the producer's end and all before it was confirmed."""
        return self._journal.finished and not self._journal.pending

    @property
    def damaged(self) -> int:
        """Return how many records at least cannot be read any more."""
        return self._journal.damages + sum(self._missing.values())

    def begin(self, producer: str, context: Mapping[str, Any]) -> EventBuilder:
        """Write down whose events they are, once for all; the first one holds."""
        return self._journal.begin(producer, context)

    def cut(self, written: tuple[int, int]) -> None:
        """Cut all that was written since into events, up to this segment and offset.

        OSError when the journal cannot be written: then it is all cut by a later call.
        """
        segment, start = self._read_to()
        while segment <= written[0]:
            end = written[1] if segment == written[0] else None
            if start != end:
                start = self._take_written(segment, start, end)
            if segment < written[0]:
                self._close_group()
                self._journal.cut_to = (segment + 1, 0)
            segment, start = segment + 1, 0
        self._close_group()

    def has_recorded(self, kind: bytes) -> bool:
        """Tell whether a record of this kind was added by `record`."""
        return kind in self._journal.relayed

    def record(self, kind: bytes, body: bytes) -> None:
        """Add a record that is not the producer's, as an event of its own; left out where the disk has no room."""
        self._close_group()
        try:
            with segments.SegmentWriter(self._folder.segment(RELAYED)) as file:
                start, end = file.size, file.append(kind + body)
        except (OSError, SegmentError):
            return
        self._add(kind, [body], (RELAYED, start, end), 1)

    def conclude(self, body: bytes) -> None:
        """Add the producer's end from memory: there is no room for it on the disk."""
        if not self.finished and self._before_end is not None:
            self._before_end(self)
        if not self.finished:
            self._end = [body]
            self._journal.note(self._next(event_builder.FINISHED, (0, 0, 0), 1))

    def message(self, cut: Cut) -> Message | None:
        """Return a cut's event; None when nothing of it can be read any more, and it can never be sent."""
        assert self.builder is not None
        bodies = self._bodies.pop(cut.sequence, None)
        if bodies is None:
            bodies = self._read(cut)
        if not bodies:
            del self._journal.pending[cut.sequence]
            return None
        return self.builder.event(cut, bodies, lost=self.damaged)

    def messages(self, most: int) -> list[tuple[Cut, Message]]:
        """Return the next events that can be sent, at most so many."""
        made = ((cut, self.message(cut)) for cut in self.pending[:most])
        return [(cut, message) for cut, message in made if message is not None]

    def confirm(self, cuts: Iterable[Cut]) -> int:
        """Note that the broker has these; return how many bytes of the spool could be deleted for it."""
        return self._delete_done() if self._journal.confirm(cuts) else 0

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _read(self, cut: Cut) -> list[bytes]:
        """Return a cut's records; what is missing among them is counted."""
        if not cut.segment:
            return self._end
        records = self._folder.records(cut.segment, cut.start, cut.end)
        bodies = [payload[1:] for payload, _ in records if payload[:1] == cut.kind]
        wanted = cut.count if cut.kind == event_builder.RESULT else 1
        if len(bodies) < wanted:
            self._missing[cut.sequence] = wanted - len(bodies)
        return bodies

    def _read_to(self) -> tuple[int, int]:
        cut_to = self._journal.cut_to
        return (cut_to[0], self._group_end) if self._group else cut_to

    def _take_written(self, segment: int, start: int, end: int | None) -> int:
        """Take records from the disk; return up to where. Damage between them is written down."""
        damages = self._folder.damages
        for payload, offset in self._folder.records(segment, start, end):
            self._take(segment, start, payload, offset)
            start = offset
        if self._folder.damages > damages:
            self._journal.damage(self._folder.damages - damages)
        return start

    def _take(self, segment: int, start: int, payload: bytes, end: int) -> None:
        kind, body = payload[:1], payload[1:]
        if kind == event_builder.RESULT:
            full = len(self._group) >= wire.MAX_RESULTS_PER_EVENT
            if self._group and (full or self._group_bytes + len(payload) > wire.MAX_RESULTS_BYTES):
                self._close_group()
            self._group.append(body)
            self._group_end = end
            self._group_bytes += len(payload)
            return
        self._close_group()
        if kind == event_builder.FINISHED and self._before_end is not None:
            self._before_end(self)
        if kind == event_builder.WORKER and self._memory is not None:
            worker = json.loads(body)
            self._memory.add_worker(worker["name"], worker["process"])
        if kind in event_builder.NAMES:
            self._add(kind, [body], (segment, start, end), count_of(kind, body))
        self._journal.cut_to = (segment, end)

    def _close_group(self) -> None:
        if self._group:
            group, self._group, self._group_bytes = self._group, [], 0
            place = (*self._journal.cut_to, self._group_end)
            memory = self._memory.of_results(group) if self._memory is not None else ()
            self._add(event_builder.RESULT, group, place, len(group), memory)

    def _add(
        self,
        kind: bytes,
        bodies: list[bytes],
        place: tuple[int, int, int],
        count: int,
        memory: tuple[tuple[int, int], ...] = (),
    ) -> None:
        cut = self._next(kind, place, count, memory)
        self._journal.cut(cut)
        if len(self._bodies) < BODIES:
            self._bodies[cut.sequence] = bodies

    def _next(
        self, kind: bytes, place: tuple[int, int, int], count: int, memory: tuple[tuple[int, int], ...] = ()
    ) -> Cut:
        segment, start, end = place
        return Cut(
            sequence=self.sequence + 1,
            kind=kind,
            segment=segment,
            start=start,
            end=end,
            count=count,
            time=utc_text(clock.now()),
            memory=memory,
        )

    def _delete_done(self) -> int:
        """Delete segments all of whose events were confirmed, and that nothing is appended to any more."""
        cut_to = self._journal.cut_to[0]
        first = min((cut.segment for cut in self.pending if cut.segment > 0), default=cut_to)
        freed = 0
        for number in self._folder.numbers():
            if number >= min(first, cut_to):
                break
            path = self._folder.segment(number)
            size = path.stat().st_size
            path.unlink()
            freed += size
        return freed
