"""A producer: what a process says of its part of a run, from its first word to its last."""

from __future__ import annotations

import os
import platform
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_producers import clock, processes, settings
from testbus_producers.context import ci, run_context
from testbus_producers.context.environment import flags_of
from testbus_producers.errors import SpoolError
from testbus_producers.redaction.cleaner import node_name
from testbus_producers.sending import relay_process as relay
from testbus_producers.spool import event_builder
from testbus_producers.spool import folder as spool
from testbus_producers.spool.journal import Writer
from testbus_schemas import identity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from testbus_producers.settings import Settings
    from testbus_producers.spool.event_builder import SessionAccount

#: Bound in bytes of the node ids in one event.
_MAX_CHUNK: Final = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class PublishSummary:
    """What became of a session's results."""

    #: Run id.
    run: str
    #: Results that were said.
    results: int
    #: Results, and other records, that did not fit into the spool.
    dropped: int
    #: Events that were confirmed, and the results in them.
    events: int
    sent: int
    #: Whether all was confirmed.
    complete: bool
    #: Where it went.
    place: str
    #: Where the rest waits.
    spool: Path
    #: Why it waits.
    reason: str | None

    def line(self) -> str:
        """Return all this in one line for people."""
        if self.complete:
            sentence = f"{_counted(self.results, 'result')} in {_counted(self.events, 'event')} sent to {self.place}"
        else:
            some = f"{self.sent:,} of " if self.sent else ""
            verb = "sent, the rest spooled" if self.sent else "spooled"
            why = f"{self.place}: {self.reason}"
            sentence = (
                f"{some}{_counted(self.results, 'result')} {verb} in {self.spool} ({why}); send with: testbus flush"
            )
        if self.dropped:
            bound = "its disk, or TESTBUS_SPOOL_MAX_MB"
            sentence += f" · {_counted(self.dropped, 'result')} did not fit into the spool ({bound}): lost"
        return f"{sentence} · run {self.run}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


class Producer:
    """Publishes for a run through a spool. All methods are for one thread, and none waits but `finish`."""

    def __init__(self, runner_settings: Settings, *, tool: str, tool_version: str, folder: Path) -> None:
        """Open the spool and begin to send; `folder` is the project's. Raises SpoolError."""
        build = ci.detect(settings.environment())
        known = run_context.begin(runner_settings, build, folder=folder.name)
        self._runner_settings = runner_settings
        self._id = identity.new_id()
        self._folder = spool.create(runner_settings.spool, self._id)
        self._writer = self._opened(runner_settings.spool_max_bytes, known)
        self._relay = self._prepared(known, folder, ask_git=build.ci == "local")
        #: Run id.
        self.run: str = known["run"]
        #: Results that were spooled.
        self.reported = 0
        #: Results, and other records, that did not fit.
        self.dropped = 0
        #: False in a process that was forked off: it has the same files, and must not touch them.
        self.ours = True
        start = {
            "tool": tool,
            "tool_version": tool_version,
            "host": platform.node(),
            "heartbeat_s": runner_settings.heartbeat_s,
        }
        self._append(event_builder.STARTED, start)
        _leave_to_parent(self)
        self._relay.start()

    @property
    def spool(self) -> spool.Folder:
        """Return the folder that everything is written to."""
        return self._folder

    @property
    def relay_process(self) -> int | None:
        """Return the process that publishes; None when it could not be started."""
        return self._relay.process

    def result(self, result: bytes, kind: bytes = event_builder.RESULT) -> None:
        """Say what happened to a test: JSON of a `Result`, or what `event_builder.passed` says (a PASSED)."""
        if not self.ours:
            return
        if self._writer.append(kind, result):
            self.reported += 1
        else:
            self.dropped += 1

    def collected(self, node_ids: Sequence[str]) -> None:
        """Say which tests are going to run."""
        chunks: list[list[str]] = [[]]
        size = 0
        for node_id in map(node_name, node_ids):
            if size > _MAX_CHUNK:
                chunks.append([])
                size = 0
            chunks[-1].append(node_id)
            size += len(node_id) + 3
        for number, chunk in enumerate(chunks, 1):
            self._append(event_builder.COLLECTED, {"node_ids": chunk, "chunk": number, "chunks": len(chunks)})

    def coverage(self, data: dict[str, Any]) -> None:
        """Say which lines ran; left out, and counted as dropped, when it does not fit."""
        if self.ours and not self._writer.append(event_builder.COVERAGE, event_builder.to_json(data)):
            self.dropped += 1

    def artifact(self, data: dict[str, Any]) -> None:
        """Say which file a test left; left out, and counted as dropped, when it does not fit."""
        if self.ours and not self._writer.append(event_builder.ARTIFACT, event_builder.to_json(data)):
            self.dropped += 1

    def worker(self, name: str, process: int) -> None:
        """Say in which process a worker runs tests, as `gw0`."""
        self._append(event_builder.WORKER, {"name": name, "process": process})

    def metrics(self, data: dict[str, Any]) -> None:
        """Say what tests measured; left out, and counted as dropped, when it does not fit."""
        if self.ours and not self._writer.append(event_builder.METRICS, event_builder.to_json(data)):
            self.dropped += 1

    def finish(
        self, status: str, exit_status: int | None, collected: int | None, account: SessionAccount | None = None
    ) -> PublishSummary:
        """Say that this was all, and wait for at most `exit_timeout_s` seconds until it is sent."""
        deadline = clock.monotonic() + self._runner_settings.exit_timeout_s
        end = event_builder.to_json(
            event_builder.ending(status, exit_status, collected, self.reported, self.dropped, account)
        )
        written = self.ours and self._writer.append(event_builder.FINISHED, end, always=True)
        sent = self._relay.finish(max(0.0, deadline - clock.monotonic()), None if written else end)
        self._writer.close()
        self._folder.release()
        return PublishSummary(
            run=self.run,
            results=self.reported,
            dropped=self.dropped,
            events=sent.events,
            sent=sent.results,
            complete=sent.complete,
            place=settings.place(self._runner_settings.url or ""),
            spool=self._folder.path.parent,
            reason=sent.reason,
        )

    def leave(self) -> None:
        """Leave the spool to the process that this one was forked off."""
        self.ours = False
        self._relay.leave()
        self._folder.release()

    def _prepared(self, known: dict[str, Any], folder: Path, *, ask_git: bool) -> relay.Relay:
        """Return the relay, which is not started yet. Raises SpoolError."""
        runner_settings = self._runner_settings
        task = relay.Task(
            producer=self._id,
            context=known,
            folder=str(folder) if ask_git else None,
            root=str(folder),
            record=runner_settings.record,
            flags=flags_of(runner_settings.flags, settings.environment()),
            redact=[pattern.pattern for pattern in runner_settings.redact],
            authors=runner_settings.authors,
            project=runner_settings.project,
            exit_timeout_s=runner_settings.exit_timeout_s,
            heartbeat_s=runner_settings.heartbeat_s,
            process=os.getpid(),
            began=processes.began(os.getpid()),
            poll_s=relay.POLL_S,
        )
        try:
            return relay.Relay(
                self._folder, runner_settings.url or "", allow_plaintext=runner_settings.allow_plaintext, task=task
            )
        except OSError as error:
            self._folder.remove()
            raise SpoolError(f"no spool can be made in {self._folder.path.parent}: {error.strerror}") from error

    def _opened(self, max_bytes: int, known: dict[str, Any]) -> Writer:
        """Return the writer, with the context written, without which nobody could send the rest. Raises SpoolError."""
        try:
            writer = Writer(self._folder, max_bytes=max_bytes)
            written = writer.append(event_builder.CONTEXT, event_builder.to_json(known), always=True)
        except OSError as error:
            written, reason = False, error.strerror or str(error)
        else:
            reason = "no room"
        if not written:
            self._folder.remove()
            raise SpoolError(f"no spool can be made in {self._folder.path.parent}: {reason}")
        return writer

    def _append(self, kind: bytes, data: dict[str, Any]) -> None:
        if self.ours and not self._writer.append(kind, event_builder.to_json(data), always=True):
            self.dropped += 1


def _leave_to_parent(producer: Producer) -> None:
    """Let a forked child neither write to the spool nor hold its lock."""
    known = weakref.ref(producer)

    def leave() -> None:
        mine = known()
        if mine is not None:
            mine.leave()

    os.register_at_fork(after_in_child=leave)
