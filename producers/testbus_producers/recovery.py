"""The end of a producer that could not say how it ended: written by whoever sends its spool."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from testbus_producers.errors import SpoolError
from testbus_producers.progress import PROGRESS, Progress
from testbus_producers.spool import event_builder
from testbus_producers.spool.folder import TERMINATED
from testbus_producers.spool.journal import Writer

if TYPE_CHECKING:
    from testbus_producers.spool.batching import Outbox
    from testbus_producers.spool.folder import Folder


def recover(folder: Folder, outbox: Outbox) -> bool:
    """Cut all that a dead producer wrote, its end included; False when it had not said a word. Raises SpoolError.

    A producer that SIGTERM ended was interrupted, any other has crashed.
    """
    if outbox.builder is None:
        context = _first_context(folder)
        if context is None:
            if any(True for number in folder.numbers() for _ in folder.records(number)):
                raise SpoolError(
                    f"{folder.path}: its first record is damaged, and nobody else knows its run; delete it"
                )
            return False
        outbox.begin(folder.path.name, context)
    last = max(folder.numbers(), default=0)
    if last and not outbox.finished:
        outbox.cut((last, folder.segment(last).stat().st_size))
    if not outbox.finished:
        last_word = _last_word(folder)
        if last_word is not None:
            outbox.conclude(last_word)
            return True
        status, exit_status = ("interrupted", TERMINATED) if folder.was_stopped() else ("crashed", None)
        end = event_builder.to_json(event_builder.ending(status, exit_status, outbox.collected, outbox.results, 0))
        writer = Writer(folder, max_bytes=0, number=last + 1)
        written = writer.append(event_builder.FINISHED, end, always=True)
        writer.close()
        if written:
            outbox.cut(writer.written)
        else:
            outbox.conclude(end)
    return True


def _last_word(folder: Folder) -> bytes | None:
    """Return the end that a producer had no other room for."""
    try:
        progress = Progress.open(folder.path / PROGRESS)
    except OSError:
        return None
    try:
        end = progress.end().get("end")
    finally:
        progress.close()
    return end.encode() if end else None


def _first_context(folder: Folder) -> dict[str, Any] | None:
    """Return the context that the producer itself wrote first, before it asked git for more."""
    for number in folder.numbers()[:1]:
        for payload, _ in folder.records(number):
            if payload[:1] == event_builder.CONTEXT:
                context: dict[str, Any] = json.loads(payload[1:])
                return context
    return None
