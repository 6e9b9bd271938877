"""Sends the spools of producers that are gone: killed, or unable to reach the broker in time.

Every event gets the id and the bytes that its producer gave it, or would have given it. A producer that could not say
how it ended gets `producer.finished` with status "crashed" and an honest count of all that it wrote.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from testbus_producers import events, spool
from testbus_producers.errors import SpoolBusyError
from testbus_producers.outbox import Outbox
from testbus_producers.producer import ending
from testbus_producers.publishing import Link
from testbus_producers.sender import PUBLISH_TIMEOUT_S, WINDOW

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class FlushReport:
    """What a flush did."""

    #: Events that were confirmed.
    events: int = 0
    #: Bytes of their bodies, as sent.
    bytes: int = 0
    #: Producers all of whose events are sent now.
    producers: int = 0
    #: Producers whose events still wait.
    remaining: int = 0
    #: Producers that still run, or that another flush is sending: left alone.
    busy: int = 0
    #: Why something remains; None when nothing does.
    reason: str | None = None


@dataclass(kw_only=True)
class _Tally:
    """A report in the making."""

    deadline: float
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("events", "bytes", "producers", "remaining", "busy"), 0)
    )
    reason: str | None = None

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def add(self, name: str, amount: int = 1) -> None:
        self.counts[name] += amount


def flush(spool_root: Path, url: str, timeout: float, *, allow_plaintext: bool = False) -> FlushReport:
    """Send the spools under `spool_root` to `url` for at most about `timeout` seconds.

    Safe beside running producers and other flushes, and without effect when there is nothing to send. A broker that
    cannot be reached, and a URL that cannot be used, are reported, not raised.
    """
    tally = _Tally(deadline=time.monotonic() + timeout)
    link = Link(url, allow_plaintext=allow_plaintext)
    try:
        for path in spool.folders(spool_root):
            try:
                folder = spool.Folder.take(path)
            except SpoolBusyError:
                tally.add("busy")
                continue
            try:
                _send(folder, link, tally)
            finally:
                folder.release()
    finally:
        link.close(max(0.1, min(2.0, tally.left)))
    return FlushReport(**tally.counts, reason=tally.reason)


def _send(folder: spool.Folder, link: Link, tally: _Tally) -> None:
    outbox = Outbox(folder)
    try:
        if not _recover(folder, outbox):
            folder.remove()
            return
        while outbox.pending:
            if tally.reason is not None or not _publish(outbox, link, tally):
                tally.add("remaining")
                return
        tally.add("producers")
        folder.remove()
    finally:
        outbox.close()


def _publish(outbox: Outbox, link: Link, tally: _Tally) -> bool:
    """Publish the next events as far as the broker confirms them; False when it is gone or time is over."""
    if tally.left <= 0:
        tally.reason = link.reason or "the time was over"
        return False
    if not link.reachable(tally.left):
        tally.reason = link.reason
        return False
    cuts = outbox.pending[:WINDOW]
    messages = [outbox.message(cut) for cut in cuts]
    confirmed = link.publish(messages, min(PUBLISH_TIMEOUT_S, tally.left))
    done = [cut for cut, message in zip(cuts, messages, strict=True) if message.message_id in confirmed]
    outbox.confirm(done)
    tally.add("events", len(done))
    tally.add("bytes", sum(len(message.body) for message in messages if message.message_id in confirmed))
    if len(done) < len(cuts) and not link.slow:
        tally.reason = link.reason
    return True


def _recover(folder: spool.Folder, outbox: Outbox) -> bool:
    """Cut all that a dead producer wrote, its end included; False when it had not said a word."""
    if outbox.author is None:
        context = _first_context(folder)
        if context is None:
            return False
        outbox.begin(folder.path.name, context)
    last = max(folder.numbers(), default=0)
    if last and not outbox.finished:
        outbox.cut((last, folder.segment(last).stat().st_size))
    if not outbox.finished:
        writer = spool.Writer(folder, max_bytes=0, number=last + 1)
        end = ending("crashed", None, outbox.collected, outbox.results, 0)
        writer.append(events.FINISHED, events.to_json(end), always=True)
        writer.close()
        outbox.cut(writer.written)
    return True


def _first_context(folder: spool.Folder) -> dict[str, Any] | None:
    """Return the context that the producer itself wrote first, before it asked git for more."""
    for number in folder.numbers()[:1]:
        for payload, _ in folder.records(number):
            if payload[:1] == events.CONTEXT:
                context: dict[str, Any] = json.loads(payload[1:])
                return context
    return None
