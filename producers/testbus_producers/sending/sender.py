"""The sender: what runs in the relay's process, and publishes the spool of a producer that lives."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus_broker import segments
from testbus_producers import clock, processes
from testbus_producers.context.run_context import complete, utc_text
from testbus_producers.memory import SAMPLE_S, Memory
from testbus_producers.progress import PROGRESS, Progress
from testbus_producers.recovery import recover
from testbus_producers.safe_call import SafeCalls
from testbus_producers.sending.broker_link import BrokerLink
from testbus_producers.sending.relay_process import Task
from testbus_producers.spool import event_builder
from testbus_producers.spool.batching import Outbox
from testbus_producers.spool.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_producers.redaction.cleaner import Cleaner
    from testbus_producers.spool.event_builder import EventBuilder

#: Seconds between two looks at the spool where no signal can wake us: the end of a session is to be seen soon.
_SHORT_POLL_S: Final = 0.05

#: Bound in seconds of one sign of life, and of the wait for the next when it did not arrive.
AGAIN_S: Final = 5.0

#: Seconds that wait before the spool is sent again after a failure: doubled up to the last.
BACK_OFF_S: Final = (1.0, 30.0)

#: Bound in seconds of one publication; what was not confirmed by then is sent again.
PUBLISH_TIMEOUT_S: Final = 10.0

#: Seconds of the end's bound that are left for the producer to hear how it went.
_MARGIN_S: Final = 0.1

#: Bound in seconds of what is done for a producer that is gone.
LEAVE_S: Final = 4.0

#: How often the end of a session fails before what is left stays in the spool.
LAST_TRIES: Final = 3

#: Events published at once.
WINDOW: Final = 16


class Sender:
    """Publishes one spool until its producer has ended, and as much as there is time for after that."""

    def __init__(self, folder: Folder, progress: Progress, task: Task, link: BrokerLink, safe: SafeCalls) -> None:
        """Only remember; `run` begins."""
        self._folder = folder
        self._progress = progress
        self._task = task
        self._link = link
        self._safe = safe
        self._context = task.context
        self._deadline: float | None = None
        self._outbox: Outbox | None = None
        self._fault: str | None = None
        self._sources = self._recorders()
        self._memory = Memory(task.process) if "memory" in task.record else None
        self._heartbeat_at = clock.monotonic() + task.heartbeat_s
        self._not_before = 0.0
        self._back_off = BACK_OFF_S[0]

    def run(self) -> None:
        """Publish until the producer has ended; then leave the spool to others, or delete it."""
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})
        self._safe.call(self._link.prepare)
        self._safe.call(self._ask_git)
        while True:
            self._look()
            self._safe.call(self._step)
            self._note(done=False)
            if self._deadline is not None:
                break
            self._wait()
        outbox = self._outbox
        complete_now = outbox is not None and outbox.empty
        if outbox is not None:
            outbox.close()
        if complete_now:
            self._folder.remove()
        self._folder.release()
        self._note(done=True)
        self._safe.call(self._link.close, 1.0)

    def _ask_git(self) -> None:
        from testbus_producers.context import git  # noqa: PLC0415 only outside of a CI

        if self._task.folder is not None:
            self._context = complete(self._task.context, self._task.project, git.describe(Path(self._task.folder)))

    def _look(self) -> None:
        if self._memory is not None:
            self._safe.call(self._memory.look)

    def _recorders(self) -> dict[bytes, Callable[[], dict[str, Any] | None]]:
        """Return what finds out what is recorded beside the results, each once, by the kind of its record."""
        wanted: dict[str, tuple[bytes, Callable[[], dict[str, Any] | None]]] = {
            "environment": (event_builder.ENVIRONMENT, self._environment),
            "change": (event_builder.CHANGE, self._change),
        }
        return dict(wanted[what] for what in wanted if what in self._task.record)

    def _environment(self) -> dict[str, Any]:
        from testbus_producers.context import environment  # noqa: PLC0415 while nobody waits

        return environment.describe(self._task.flags, self._context["labels"], self._clean(), python=True)

    def _change(self) -> dict[str, Any] | None:
        from testbus_producers.context import change  # noqa: PLC0415 while nobody waits

        shard = self._context["shard"]
        if shard is not None and shard["index"] != 1:
            # All shards have one tree: the first one says so.
            return None
        # At the end of a session its producer waits.
        bound = self._task.exit_timeout_s / 2
        return change.describe(
            Path(self._task.root),
            self._context,
            self._clean(),
            email=self._task.authors == "email",
            hurry=lambda: bound if self._progress.end() else None,
        )

    def _clean(self) -> Cleaner:
        from testbus_producers.redaction import secret_patterns  # noqa: PLC0415 while nobody waits
        from testbus_producers.redaction.cleaner import Cleaner  # noqa: PLC0415 the same
        from testbus_producers.redaction.redactor import Redactor  # noqa: PLC0415 the same

        return Cleaner(Redactor(map(secret_patterns.compiled, self._task.redact)))

    def _record_last(self, outbox: Outbox) -> None:
        """Record what is known only at the end."""
        self._record(outbox)
        metrics = self._memory and self._memory.metrics()
        if metrics and not outbox.has_recorded(event_builder.METRICS):
            outbox.record(event_builder.METRICS, event_builder.to_json(metrics))

    def _record(self, outbox: Outbox) -> None:
        """Record what was not yet: after the first events were sent, or before the end of a short session is cut."""
        sources, self._sources = self._sources, {}
        for kind, find in sources.items():
            data = None if outbox.has_recorded(kind) else self._safe.call(find)
            if data is not None:
                outbox.record(kind, event_builder.to_json(data))

    def _wait(self) -> None:
        """Wait for the next look: the producer's end comes with a signal."""
        if hasattr(signal, "sigtimedwait"):
            until = clock.monotonic() + self._task.poll_s
            while (left := until - clock.monotonic()) > 0:
                pause = left if self._memory is None else min(left, SAMPLE_S)
                if signal.sigtimedwait({signal.SIGCONT}, pause) is not None:
                    return
                self._look()
        else:
            time.sleep(min(_SHORT_POLL_S, self._task.poll_s))

    def _note(self, *, done: bool) -> None:
        outbox = self._outbox
        is_complete = outbox is not None and outbox.empty
        self._progress.note_sent(
            events=outbox.confirmed_events if outbox else 0,
            results=outbox.confirmed_results if outbox else 0,
            complete=is_complete,
            reason=None if is_complete else self._fault or self._link.reason or self._safe.first,
            done=done,
        )

    def _step(self) -> None:
        """Cut and publish what there is. A disk that refuses is asked again the next time, and at the end reported."""
        # In this order: what was written before the end is cut after it was seen.
        last_word = self._progress.end()
        lives = self._lives()
        if last_word or not lives:
            self._end(lives=lives)
        try:
            if self._outbox is None:
                self._outbox = Outbox(self._folder, self._record_last, self._memory)
            self._outbox.begin(self._task.producer, self._context)
            self._outbox.cut(self._written())
            if last_word.get("end"):
                self._outbox.conclude(last_word["end"].encode())
            elif not lives and not last_word:
                recover(self._folder, self._outbox)
            self._fault = None
        except OSError as error:
            self._fault = f"the spool cannot be written: {error.strerror or error}"
        outbox = self._outbox
        if outbox is None or outbox.builder is None:
            return
        if outbox.finished and self._deadline is None:
            self._end(lives=True)
        self._send(outbox)
        if self._sources and not outbox.finished:
            self._record(outbox)
            self._send(outbox)
        if outbox.confirmed_events and self._deadline is None and clock.monotonic() >= self._heartbeat_at:
            self._give_sign(outbox.builder)

    def _end(self, *, lives: bool) -> None:
        bound = max(0.0, self._task.exit_timeout_s - _MARGIN_S)
        self._deadline = clock.monotonic() + (bound if lives else LEAVE_S)

    def _lives(self) -> bool:
        """Tell whether the producer's process does: it holds its last segment, unless a test closed that."""
        last = self._folder.numbers()[-1:]
        if last and segments.is_owned(self._folder.segment(last[0])):
            return True
        return processes.is_running(self._task.process, self._task.began)

    def _written(self) -> tuple[int, int]:
        last = max(self._folder.numbers(), default=1)
        try:
            return last, self._folder.segment(last).stat().st_size
        except FileNotFoundError:
            return last, 0

    def _send(self, outbox: Outbox) -> None:
        """Publish what waits; at the end a failure that may be over (a lost connection) is not the last try."""
        failures = 0
        finishing = self._deadline is not None
        while outbox.pending and (finishing or clock.monotonic() >= self._not_before):
            left = self._left()
            if left <= 0 or not self._link.reachable(left):
                self._fail()
                return
            if not self._publish(outbox):
                failures += not self._link.slow
                if not finishing or failures >= LAST_TRIES:
                    return
            if not finishing and self._progress.end():
                # The bound of the end begins now, however much waits.
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
        outbox.confirm(done)
        if len(done) < len(made):
            self._fail()
            return False
        self._back_off = BACK_OFF_S[0]
        return True

    def _give_sign(self, builder: EventBuilder) -> None:
        """Say that the producer lives, whatever else waits; a sign that did not arrive is given again sooner."""
        sign = builder.heartbeat(utc_text(clock.now()))
        given = self._link.reachable(AGAIN_S) and self._link.publish([sign], AGAIN_S)
        pause = self._task.heartbeat_s
        self._heartbeat_at = clock.monotonic() + (pause if given else min(AGAIN_S, pause))

    def _fail(self) -> None:
        self._not_before = clock.monotonic() + self._back_off
        self._back_off = min(self._back_off * 2, BACK_OFF_S[1])
        # At once: the session may stop waiting before the next try has ended.
        self._note(done=False)

    def _left(self) -> float:
        deadline = self._deadline
        return PUBLISH_TIMEOUT_S if deadline is None else max(0.0, deadline - clock.monotonic())


def main() -> None:
    """Publish the spool that the producer names on standard input, until the producer has ended."""
    request: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    os.chdir("/")
    # A CI that ends everything it finds ends the tests first: they have a word to say, and it is to be sent.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    task = Task(**request["task"])
    publish(request["url"], Path(request["folder"]), request["lock"], task, allow_plaintext=request["allow_plaintext"])


def publish(url: str, path: Path, lock: int, task: Task, *, allow_plaintext: bool) -> int:
    """Publish a spool until its producer has ended; `lock` is the descriptor of its locked file. Return 0."""
    folder, progress = Folder(path, lock), Progress.open(path / PROGRESS)
    Sender(folder, progress, task, BrokerLink(url, allow_plaintext=allow_plaintext), SafeCalls()).run()
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
