"""The sender: a thread that publishes the spool while the tests run, and never disturbs them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_producers import clock
from testbus_producers.context import complete, utc_text
from testbus_producers.outbox import Outbox
from testbus_producers.publishing import Link
from testbus_producers.relay import RemoteLink
from testbus_schemas import wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from testbus_producers.boundary import Boundary
    from testbus_producers.events import Author
    from testbus_producers.settings import Settings
    from testbus_producers.spool import Folder
    from testbus_producers.spool_writer import Writer

#: Seconds between two looks at the spool: few wake-ups, and well within the second that a result may be old.
POLL_S: Final = wire.MAX_RESULT_AGE_S / 2

#: Bound in seconds of one sign of life, and of the wait for the next when it did not arrive.
AGAIN_S: Final = 5.0

#: Seconds that wait before the spool is sent again after a failure: doubled up to the last.
BACK_OFF_S: Final = (1.0, 30.0)

#: Bound in seconds of one publication; what was not confirmed by then is sent again.
PUBLISH_TIMEOUT_S: Final = 10.0

#: Bound in seconds of the wait for the connection's end, when all is said.
CLOSE_S: Final = 0.5

#: How often the end of a session fails before what is left stays in the spool.
LAST_TRIES: Final = 3

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
        self._end: bytes | None = None
        self._fault: str | None = None
        self._heartbeat_at = clock.monotonic() + told.heartbeat_s
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

    def finish(self, timeout: float, end: bytes | None = None) -> Sent:
        """Send what is left, for at most `timeout` seconds; return what became of the spool.

        `end` is the producer's last record when the disk has no room for it.
        """
        self._end = end
        self._deadline = clock.monotonic() + timeout
        self._finishing.set()
        if self._thread is not None:
            self._all_sent.wait(timeout)
            self._thread.join(max(0.0, min(CLOSE_S, self._deadline - clock.monotonic())))
        outbox = self._outbox
        complete = self._all_sent.is_set() and outbox is not None and outbox.empty
        return Sent(
            events=self._sent,
            results=outbox.confirmed_results if outbox else 0,
            complete=complete,
            reason=None if complete else self._fault or self._link.reason or "no answer in time",
        )

    def _run(self, producer: str, context: Mapping[str, Any], folder: Path | None) -> None:
        try:
            self._link.prepare()
            if folder is not None:
                from testbus_producers import git  # noqa: PLC0415 only outside of a CI

                context = complete(context, self._told, git.describe(folder))
            while True:
                finishing = self._finishing.is_set()
                self._boundary.call(self._step, producer, context, finishing=finishing)
                if finishing:
                    break
                self._finishing.wait(POLL_S)
            outbox = self._outbox
            if outbox is not None:
                outbox.close()
                if outbox.empty:
                    self._folder.remove()
        finally:
            self._all_sent.set()
            self._link.close(self._left())
            self._folder.release()

    def _step(self, producer: str, context: Mapping[str, Any], *, finishing: bool) -> None:
        """Cut and publish what there is. A disk that refuses is asked again the next time, and at the end told of."""
        try:
            if self._outbox is None:
                self._outbox = Outbox(self._folder)
            self._outbox.begin(producer, context)
            self._outbox.cut(self._writer.written, self._writer.recent)
            self._fault = None
        except OSError as error:
            self._fault = f"the spool cannot be written: {error.strerror or error}"
        outbox = self._outbox
        if outbox is None or outbox.author is None:
            return
        if self._end is not None and self._fault is None:
            outbox.conclude(self._end)
        self._send(outbox, finishing=finishing)
        if self._sent and not finishing and clock.monotonic() >= self._heartbeat_at:
            self._give_sign(outbox.author)

    def _send(self, outbox: Outbox, *, finishing: bool) -> None:
        """Publish what waits; at the end a failure that may be over (a lost connection) is not the last try."""
        failures = 0
        while outbox.pending and (finishing or clock.monotonic() >= self._not_before):
            left = self._left()
            if left <= 0 or not self._link.reachable(left):
                self._fail()
                return
            if not self._publish(outbox):
                failures += not self._link.slow
                if not finishing or failures >= LAST_TRIES:
                    return

    def _publish(self, outbox: Outbox) -> bool:
        """Publish the next events; False when not all of them were confirmed."""
        made = outbox.messages(WINDOW)
        if not made:
            return True
        confirmed = self._link.publish(
            [message for _, message in made], max(0.05, min(PUBLISH_TIMEOUT_S, self._left()))
        )
        done = [cut for cut, message in made if message.message_id in confirmed]
        self._sent += len(done)
        self._writer.freed += outbox.confirm(done)
        if len(done) < len(made):
            self._fail()
            return False
        self._back_off = BACK_OFF_S[0]
        return True

    def _give_sign(self, author: Author) -> None:
        """Say that the producer lives, whatever else waits; a sign that did not arrive is given again sooner."""
        sign = author.heartbeat(utc_text(clock.now()))
        given = self._link.reachable(AGAIN_S) and self._link.publish([sign], AGAIN_S)
        pause = self._told.heartbeat_s
        self._heartbeat_at = clock.monotonic() + (pause if given else min(AGAIN_S, pause))

    def _fail(self) -> None:
        self._not_before = clock.monotonic() + self._back_off
        self._back_off = min(self._back_off * 2, BACK_OFF_S[1])

    def _left(self) -> float:
        deadline = self._deadline
        return PUBLISH_TIMEOUT_S if deadline is None else max(0.0, deadline - clock.monotonic())
