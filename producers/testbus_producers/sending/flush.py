"""Sends the spools of producers that are gone: killed, or unable to reach the broker in time.

Every event gets the id and the bytes that its producer gave it, or would have given it. A producer that could not say
how it ended gets `producer.finished` with status "crashed" and an honest count of all that it wrote.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from testbus_broker.errors import BrokerError
from testbus_producers.errors import SpoolBusyError, SpoolError
from testbus_producers.recovery import recover
from testbus_producers.sending.broker_link import BrokerLink
from testbus_producers.sending.sender import LAST_TRIES, LEAVE_S, PUBLISH_TIMEOUT_S, WINDOW
from testbus_producers.spool import folder as spool
from testbus_producers.spool.batching import Outbox

if TYPE_CHECKING:
    from pathlib import Path


#: Bound in seconds of the wait for the relay of a producer that is gone.
_RELAY_S: Final = LEAVE_S + 2.0

#: Seconds between two looks at whether it is.
_LOOK_S: Final = 0.05


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
    #: Records at least that could not be read any more: passed over, and told to the run as dropped.
    damaged: int = 0
    #: Why something remains; None when nothing does.
    reason: str | None = None


@dataclass(kw_only=True)
class _Tally:
    """A report in the making."""

    deadline: float
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("events", "bytes", "producers", "remaining", "busy", "damaged"), 0)
    )
    reason: str | None = None
    unreadable: str | None = None
    failures: int = 0

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def add(self, name: str, amount: int = 1) -> None:
        self.counts[name] += amount


def flush(spool_root: Path, url: str, timeout: float, *, allow_plaintext: bool = False) -> FlushReport:
    """Send the spools under `spool_root` to `url` for at most about `timeout` seconds.

    Safe beside running producers and other flushes, and without effect when there is nothing to send. A broker that
    cannot be reached, a URL that cannot be used, and a spool that cannot be read are reported, not raised.
    """
    tally = _Tally(deadline=time.monotonic() + timeout)
    link = BrokerLink(url, allow_plaintext=allow_plaintext)
    try:
        for path in (path for root in spool.roots(spool_root) for path in spool.folders(root)):
            try:
                folder = _taken(path, tally)
            except SpoolBusyError:
                tally.add("busy", int(path.exists()))
                continue
            try:
                folder.check_format()
                _send(folder, link, tally)
            except (SpoolError, BrokerError, OSError, ValueError, LookupError, TypeError) as error:
                # One that is beyond repair must not keep back the others; it stays as it is.
                tally.add("remaining")
                tally.unreadable = tally.unreadable or _explained(error, path)
            finally:
                folder.release()
    finally:
        link.close(max(0.1, min(2.0, tally.left)))
    return FlushReport(**tally.counts, reason=tally.reason or tally.unreadable)


def _taken(path: Path, tally: _Tally) -> spool.Folder:
    """Return the locked folder of a producer that is gone; its relay, which may live a little longer, is waited for.

    Raises SpoolBusyError.
    """
    until = time.monotonic() + min(_RELAY_S, tally.left)
    while True:
        try:
            return spool.Folder.take(path)
        except SpoolBusyError:
            if spool.is_live(path) or not path.exists() or time.monotonic() >= until:
                raise
        time.sleep(_LOOK_S)


def _send(folder: spool.Folder, link: BrokerLink, tally: _Tally) -> None:
    outbox = Outbox(folder)
    try:
        if not recover(folder, outbox):
            folder.remove()
            return
        while outbox.pending:
            if tally.reason is not None or not _publish(outbox, link, tally):
                tally.add("remaining")
                return
        tally.add("producers")
        tally.add("damaged", outbox.damaged)
        folder.remove()
    finally:
        outbox.close()


def _explained(error: Exception, path: Path) -> str:
    if isinstance(error, SpoolError):
        return str(error)
    detail = error.strerror if isinstance(error, OSError) else None
    return f"{path} cannot be sent: {detail or f'{type(error).__name__}: {error}'}"


def _publish(outbox: Outbox, link: BrokerLink, tally: _Tally) -> bool:
    """Publish the next events as far as the broker confirms them; False when it is gone or time is over."""
    if tally.left <= 0:
        tally.reason = link.reason or "the time was over"
        return False
    if not link.reachable(tally.left):
        tally.reason = link.reason
        return False
    made = outbox.messages(WINDOW)
    confirmed = link.publish([message for _, message in made], min(PUBLISH_TIMEOUT_S, tally.left)) if made else ()
    done = [(cut, message) for cut, message in made if message.message_id in confirmed]
    outbox.confirm(cut for cut, _ in done)
    tally.add("events", len(done))
    tally.add("bytes", sum(len(message.body) for _, message in done))
    tally.failures = 0 if done else tally.failures + 1
    if len(done) < len(made) and not link.slow and tally.failures >= LAST_TRIES:
        tally.reason = link.reason
    return True
