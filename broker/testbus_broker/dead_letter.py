"""Dead letters as data: what is known of one, and which of them are meant."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from testbus_broker import message as headers
from testbus_schemas import SchemaError
from testbus_schemas.codec import inflate

if TYPE_CHECKING:
    from testbus_broker.message import Message


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One message that a consumer, or the broker for it, gave up."""

    #: The message, with all of its headers.
    message: Message

    @property
    def error(self) -> str:
        """Return why it was given up."""
        return str(self.message.headers.get(headers.ERROR, "given up without a word"))

    @property
    def traceback(self) -> str:
        """Return the traceback; "" when there was none."""
        return str(self.message.headers.get(headers.TRACEBACK, ""))

    @property
    def attempts(self) -> int:
        """Return how many counted attempts were made."""
        made = self.message.headers.get(headers.ATTEMPT, 0)
        return made if isinstance(made, int) else 0

    @property
    def died_at(self) -> float | None:
        """Return when it was given up, in seconds since the epoch; None when nobody knows."""
        died = self.message.headers.get(headers.DIED, self.message.timestamp)
        return float(died) if isinstance(died, int) else None

    @property
    def type(self) -> str:
        """Return the type's short name, as the first routing key has it: `results.recorded`."""
        return ".".join(self.message.first_routing_key.split(".")[:2])

    @property
    def project(self) -> str:
        """Return the project, as the first routing key has it."""
        return ".".join(self.message.first_routing_key.split(".")[2:])

    @property
    def run(self) -> str | None:
        """Return the run that the body names; None for a body that cannot be read."""
        try:
            parsed = json.loads(inflate(self.message.body, self.message.content_encoding))
        except (SchemaError, ValueError, RecursionError):
            return None
        subject = parsed.get("subject") if isinstance(parsed, dict) else None
        return subject if isinstance(subject, str) else None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which dead letters are meant: those that fit everything that is given."""

    #: Message ids; empty means any.
    ids: frozenset[str] = frozenset()
    #: Text that the error holds.
    error: str | None = None
    #: Type's short name, as `results.recorded`.
    type: str | None = None
    run: str | None = None
    project: str | None = None
    #: Given up then or later, in seconds since the epoch.
    since: float | None = None
    #: Given up before then, in seconds since the epoch.
    until: float | None = None

    def takes(self, entry: DeadLetter) -> bool:
        """Tell whether a letter is meant; one of which it is not known when it died fits no time."""
        if self.ids and entry.message.message_id not in self.ids:
            return False
        if self.error is not None and self.error not in entry.error:
            return False
        if self.type not in {None, entry.type} or self.project not in {None, entry.project}:
            return False
        if not self._in_time(entry.died_at):
            return False
        # Last: it has to read the body.
        return self.run is None or entry.run == self.run

    def _in_time(self, died_at: float | None) -> bool:
        if self.since is None and self.until is None:
            return True
        if died_at is None:
            return False
        return (self.since is None or died_at >= self.since) and (self.until is None or died_at < self.until)


#: All of them.
EVERY: Final = Choice()
