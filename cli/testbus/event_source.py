"""Reading what was published: from the stream of a broker, or from the log of an embedded home."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbus_broker.message import Message
    from testbus_schemas import Event, EventData


@dataclass(frozen=True, kw_only=True)
class PublishedEvents:
    """Where events are read; exactly one of the two is given."""

    #: URL of the broker whose stream is read.
    broker: str | None
    #: Folder of the embedded pipeline whose log is read.
    home: Path | None

    def messages(self, since: datetime | None = None) -> Iterator[Message]:
        """Yield every message to the end as it is now, oldest first.

        Of a stream only those that were published at `since` or later; a log is read whole.
        """
        if self.home is not None:
            from testbus_broker.event_log import EventLog  # noqa: PLC0415 only what is asked for

            yield from (message for message, _ in EventLog(self.home).read({}))
            return
        from testbus.options import plaintext_allowed  # noqa: PLC0415 only where a broker is asked
        from testbus_broker import stream  # noqa: PLC0415 the same

        with closing(
            stream.read(str(self.broker), offset=since or "first", allow_plaintext=plaintext_allowed())
        ) as found:
            yield from (message for _, message in found)

    def events(
        self,
        *,
        mentioning: str | None = None,
        since: datetime | None = None,
        unreadable: Callable[[str, str], None] | None = None,
    ) -> Iterator[tuple[Message, Event[EventData]]]:
        """Yield every event with its message.

        `mentioning` leaves out what cannot hold this text, before the cost of reading it: of a long stream a run is a
        small part. What is left may still be about something else. An event that cannot be read is reported on standard
        error if it is of the run of that id; or, whichever run it is of, to `unreadable` as (run, what to tell).
        """
        from testbus_schemas import SchemaError, decode  # noqa: PLC0415 for the help nothing is imported
        from testbus_schemas.codec import inflate  # noqa: PLC0415 the same

        now = datetime.now(UTC)
        for message in self.messages(since):
            try:
                raw = inflate(message.body, message.content_encoding)
            except SchemaError as error:
                # Nobody can tell what it is about: whoever asks for one run does not hear of it.
                if mentioning is None:
                    click.echo(_unreadable(message, error), err=True)
                continue
            if mentioning is not None and not _may_mention(raw, mentioning):
                continue
            try:
                yield message, decode(raw, received=now)
            except SchemaError as error:
                run = _run_of(raw, mentioning)
                if unreadable is not None:
                    unreadable(run, _unreadable(message, error))
                elif mentioning is None or run == mentioning:
                    click.echo(_unreadable(message, error), err=True)


def _unreadable(message: Message, error: Exception) -> str:
    return f"unreadable event under {message.routing_key}: {error}"


def _run_of(raw: bytes, mentioning: str | None) -> str:
    """Return the run that an unreadable event names as its own, else the one asked for, if it is in it somewhere."""
    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        event = None
    subject = event.get("subject") if isinstance(event, dict) else None
    if isinstance(subject, str):
        return subject
    return mentioning if mentioning is not None and mentioning.encode() in raw else ""


def _may_mention(raw: bytes, text: str) -> bool:
    """Tell whether JSON may hold a text, however its writer escaped it."""
    plain = text.encode()
    return plain in raw or b"\\u" in raw or plain.replace(b"/", b"\\/") in raw or json.dumps(text)[1:-1] != text
