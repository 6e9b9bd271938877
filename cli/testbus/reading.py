"""Reading what was published: from the stream of a broker, or from the log of an embedded home."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_broker.message import Message
    from testbus_schemas import Event, EventData


@dataclass(frozen=True, kw_only=True)
class Published:
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
            from testbus_broker.log import EventLog  # noqa: PLC0415 only what is asked for

            yield from (message for message, _ in EventLog(self.home).read({}))
            return
        from testbus.commands.common import plaintext_allowed  # noqa: PLC0415 only where a broker is asked
        from testbus_broker import stream  # noqa: PLC0415 the same

        with closing(
            stream.read(str(self.broker), offset=since or "first", allow_plaintext=plaintext_allowed())
        ) as found:
            yield from (message for _, message in found)

    def events(
        self, *, mentioning: str | None = None, since: datetime | None = None
    ) -> Iterator[tuple[Message, Event[EventData]]]:
        """Yield every event with its message; one that cannot be read is told on standard error.

        `mentioning` leaves out what cannot hold this text, before the cost of reading it: of a long stream a run is a
        small part. What is left may still be about something else.
        """
        from testbus_schemas import SchemaError, decode  # noqa: PLC0415 for the help nothing is imported
        from testbus_schemas.codec import inflate  # noqa: PLC0415 the same

        now = datetime.now(UTC)
        for message in self.messages(since):
            try:
                raw = inflate(message.body, message.content_encoding)
                if mentioning is not None and not _may_mention(raw, mentioning):
                    continue
                yield message, decode(raw, received=now)
            except SchemaError as error:
                click.echo(f"unreadable event under {message.routing_key}: {error}", err=True)


def _may_mention(raw: bytes, text: str) -> bool:
    """Tell whether JSON may hold a text, however its writer escaped it."""
    plain = text.encode()
    return plain in raw or b"\\u" in raw or plain.replace(b"/", b"\\/") in raw or json.dumps(text)[1:-1] != text
