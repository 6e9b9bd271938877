"""The sender: a thread that publishes the spool while the tests run, and never disturbs them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_producers.context import complete, utc_text
from testbus_producers.outbox import Outbox
from testbus_producers.publishing import Link
from testbus_producers.relay import RemoteLink
from testbus_schemas import wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from testbus_producers.boundary import Boundary
    from testbus_producers.settings import Settings
    from testbus_producers.spool import Folder, Writer

#: Seconds between two looks at the spool: few wake-ups, and well within the second that a result may be old.
POLL_S: Final = wire.MAX_RESULT_AGE_S / 2

#: Seconds between two signs of life.
HEARTBEAT_S: Final = 30.0

#: Seconds that wait before the spool is sent again after a failure: doubled up to the last.
BACK_OFF_S: Final = (1.0, 30.0)

#: Bound in seconds of one publication; what was not confirmed by then is sent again.
PUBLISH_TIMEOUT_S: Final = 10.0

#: Bound in seconds of the wait for the connection's end, when all is said.
CLOSE_S: Final = 0.5

#: Events published at once.
WINDOW: Final = 16


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of a spool."""

    #: Events that were confirmed.
    events: int = 0
    #: Results in them.
    results: int = 0
    #: Whether everything was.
    complete: bool = False
    #: Why not, None when nothing failed.
    reason: str | None = None


class Sender:
    """Publishes one spool from a thread of its own."""

    def __init__(self, folder: Folder, writer: Writer, told: Settings, boundary: Boundary) -> None:
        """Only remember; `start` begins."""
        self._folder = folder
        self._writer = writer
        self._told = told
        self._boundary = boundary
        self._finishing = threading.Event()
        self._all_sent = threading.Event()
        self._thread: threading.Thread | None = None
        self._deadline: float | None = None
        # What a disk takes needs no process of its own.
        kind = Link if (told.url or "").startswith("file:") else RemoteLink
        self._link = kind(told.url or "", allow_plaintext=told.allow_plaintext)
        self._sent = 0
        self._outbox: Outbox | None = None
        self._heartbeat_at = time.monotonic() + HEARTBEAT_S
        self._not_before = 0.0
        self._back_off = BACK_OFF_S[0]

    def start(self, producer: str, context: Mapping[str, Any], folder: Path | None) -> None:
        """Begin; `folder` is where git is asked for what the context lacks, None when nobody is to be asked."""
        self._thread = threading.Thread(
            target=self._boundary.call,
            args=(self._run, producer, context, folder),
            name="testbus-sender",
            daemon=True,
        )
        self._thread.start()

    def finish(self, timeout: float) -> Sent:
        """Send what is left, for at most `timeout` seconds; return what became of the spool."""
        self._deadline = time.monotonic() + timeout
        self._finishing.set()
        if self._thread is not None:
            self._all_sent.wait(timeout)
            self._thread.join(max(0.0, min(CLOSE_S, self._deadline - time.monotonic())))
        outbox = self._outbox
        return Sent(
            events=self._sent,
            results=outbox.confirmed_results if outbox else 0,
            complete=self._all_sent.is_set() and outbox is not None and outbox.empty,
            reason=self._link.reason or ("no answer in time" if outbox is None or not outbox.empty else None),
        )

    def _run(self, producer: str, context: Mapping[str, Any], folder: Path | None) -> None:
        try:
            self._link.prepare()
            self._outbox = outbox = Outbox(self._folder)
            if folder is not None:
                from testbus_producers import git  # noqa: PLC0415 only outside of a CI

                context = complete(context, self._told, git.describe(folder))
            outbox.begin(producer, context)
            while not self._over(outbox):
                self._finishing.wait(POLL_S)
            outbox.close()
            if outbox.empty:
                self._folder.remove()
        finally:
            self._all_sent.set()
            self._link.close(self._left())
            self._folder.release()

    def _over(self, outbox: Outbox) -> bool:
        """Cut and publish what there is; True when the session is over and nothing more can be done."""
        finishing = self._finishing.is_set()
        self._boundary.call(self._step, outbox, finishing=finishing)
        return finishing

    def _step(self, outbox: Outbox, *, finishing: bool) -> None:
        outbox.cut(self._writer.written, self._writer.recent)
        now = time.monotonic()
        while outbox.pending and (now >= self._not_before or finishing):
            left = self._left()
            if left <= 0 or not self._link.reachable(left):
                self._fail()
            elif self._publish(outbox) or (finishing and self._link.slow):
                continue
            break
        if now >= self._heartbeat_at and not finishing and not self._link.reason:
            self._heartbeat_at = now + HEARTBEAT_S
            author = outbox.author
            if author is not None and self._link.connected:
                self._link.publish([author.heartbeat(utc_text(time.time()))], PUBLISH_TIMEOUT_S)

    def _publish(self, outbox: Outbox) -> bool:
        """Publish the next events; False when not all of them were confirmed."""
        cuts = outbox.pending[:WINDOW]
        messages = [outbox.message(cut) for cut in cuts]
        confirmed = self._link.publish(messages, max(0.05, min(PUBLISH_TIMEOUT_S, self._left())))
        done = [cut for cut, message in zip(cuts, messages, strict=True) if message.message_id in confirmed]
        self._writer.freed += outbox.confirm(done)
        self._sent += len(done)
        if len(done) < len(cuts):
            self._fail()
            return False
        self._back_off = BACK_OFF_S[0]
        return True

    def _fail(self) -> None:
        self._not_before = time.monotonic() + self._back_off
        self._back_off = min(self._back_off * 2, BACK_OFF_S[1])

    def _left(self) -> float:
        deadline = self._deadline
        return PUBLISH_TIMEOUT_S if deadline is None else max(0.0, deadline - time.monotonic())
