"""The messages of one Slack workspace, and the rules of posting, updating and reading them."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.errors import SlackError, SlackRateLimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that the sandbox's bot is a member of."""

    #: For example `C0SANDBOX01`.
    id: str
    #: Without the `#`.
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a request says of a message: checked, and None for what it leaves out."""

    #: Text, or the fallback of blocks.
    text: str | None = None
    #: Block Kit blocks, as sent.
    blocks: tuple[Mapping[str, Any], ...] | None = None
    #: Legacy attachments, as sent.
    attachments: tuple[Mapping[str, Any], ...] | None = None
    #: `{"event_type": …, "event_payload": …}`; an empty one removes it on update.
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, as it is now."""

    #: Where it is.
    channel: Channel
    #: `seconds.micros`, unique in the workspace.
    ts: str
    #: Text, or the fallback of blocks.
    text: str
    #: Block Kit blocks.
    blocks: tuple[Mapping[str, Any], ...] = ()
    #: Legacy attachments.
    attachments: tuple[Mapping[str, Any], ...] = ()
    #: Metadata of the app; None without.
    metadata: Mapping[str, Any] | None = None
    #: ts of the message that began the thread; None at the top level.
    thread_ts: str | None = None
    #: True when a reply is shown in the channel too.
    broadcast: bool = False
    #: True when it came by an incoming webhook: nobody can update it.
    webhook: bool = False
    #: How often it was updated.
    edits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One chat.update: what the message was and what it became."""

    before: Message
    after: Message


#: A message's ts.
_TS: Final = re.compile(r"\d{1,12}\.\d{6}")

#: Microseconds in a second.
_MICROS: Final = 1_000_000


@dataclass(slots=True)
class Workspace:
    """One workspace; every method may be called from any thread."""

    #: Channels by id.
    channels: dict[str, Channel]
    #: Seconds between two messages in one channel; None sets no limit.
    seconds_per_message: float | None = None
    #: Returns the present as seconds since 1970.
    clock: Callable[[], float] = time.time
    _messages: dict[tuple[str, str], Message] = field(default_factory=dict)
    _replies: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _updates: list[Update] = field(default_factory=list)
    _free_at: dict[str, float] = field(default_factory=dict)
    _last_micros: int = 0
    _lock: Lock = field(default_factory=Lock)

    def find_channel(self, key: str | None, *, names: bool = False) -> Channel:
        """Return the channel of an id (with `names`: or a name, with or without `#`); raise channel_not_found."""
        channel = self.channels.get(key or "")
        if channel is None and names and key:
            wanted = key.removeprefix("#")
            channel = next((known for known in self.channels.values() if known.name == wanted), None)
        if channel is None:
            raise SlackError("channel_not_found")
        return channel

    def post(
        self,
        channel: Channel,
        content: Content,
        *,
        thread_ts: str | None = None,
        broadcast: bool = False,
        webhook: bool = False,
    ) -> Message:
        """Post a message; raise SlackError invalid_thread_ts or SlackRateLimitError.

        A thread whose first message does not exist is none: the message lands at the top level.
        """
        with self._lock:
            thread_ts = self._thread(channel, thread_ts)
            self._limit(channel)
            message = Message(
                channel=channel,
                ts=self._next_ts(),
                text=content.text or "",
                blocks=content.blocks or (),
                attachments=content.attachments or (),
                metadata=content.metadata or None,
                thread_ts=thread_ts,
                broadcast=broadcast and thread_ts is not None,
                webhook=webhook,
            )
            self._messages[channel.id, message.ts] = message
            if thread_ts is not None:
                self._replies.setdefault((channel.id, thread_ts), []).append(message.ts)
            return message

    def update(self, channel: Channel, ts: str, content: Content) -> Message:
        """Change a message; raise SlackError message_not_found or cant_update_message (a webhook's).

        Text without blocks takes the blocks away; metadata stays unless there is new, empty metadata removes it.
        """
        with self._lock:
            before = self._messages.get((channel.id, ts))
            if before is None:
                raise SlackError("message_not_found")
            if before.webhook:
                raise SlackError("cant_update_message")
            after = replace(
                before,
                text=before.text if content.text is None else content.text,
                blocks=content.blocks or (),
                attachments=before.attachments if content.attachments is None else content.attachments,
                metadata=before.metadata if content.metadata is None else content.metadata or None,
                edits=before.edits + 1,
            )
            self._messages[channel.id, ts] = after
            self._updates.append(Update(before=before, after=after))
            return after

    def history(self, channel: Channel) -> list[Message]:
        """Return the messages that the channel shows, the newest first: no replies unless broadcast."""
        with self._lock:
            return [
                message
                for (channel_id, _), message in reversed(self._messages.items())
                if channel_id == channel.id and (message.thread_ts is None or message.broadcast)
            ]

    def thread(self, channel: Channel, ts: str) -> list[Message]:
        """Return a message and the replies to it, the oldest first; raise SlackError thread_not_found."""
        with self._lock:
            first = self._messages.get((channel.id, ts))
            if first is None:
                raise SlackError("thread_not_found")
            replies = self._replies.get((channel.id, ts), ())
            return [first, *(self._messages[channel.id, reply] for reply in replies)]

    def delete(self, message: Message) -> None:
        """Take a message away with all of its replies, as a person does who deletes each of them."""
        with self._lock:
            for ts in (*self._replies.pop((message.channel.id, message.ts), ()), message.ts):
                self._messages.pop((message.channel.id, ts), None)

    def replies(self, message: Message) -> tuple[str, ...]:
        """Return the ts of the replies to a message, the oldest first."""
        with self._lock:
            return tuple(self._replies.get((message.channel.id, message.ts), ()))

    @property
    def messages(self) -> tuple[Message, ...]:
        """Every message as it is now, replies included, the oldest first."""
        with self._lock:
            return tuple(self._messages.values())

    @property
    def updates(self) -> tuple[Update, ...]:
        """Every update, the oldest first."""
        with self._lock:
            return tuple(self._updates)

    def _thread(self, channel: Channel, thread_ts: str | None) -> str | None:
        """Return the thread to post in; raise SlackError invalid_thread_ts for what is no ts, and for a reply's."""
        if not thread_ts:
            return None
        if not _TS.fullmatch(thread_ts):
            raise SlackError("invalid_thread_ts")
        first = self._messages.get((channel.id, thread_ts))
        if first is not None and first.thread_ts is not None:
            raise SlackError("invalid_thread_ts")
        return first.ts if first else None

    def _limit(self, channel: Channel) -> None:
        """Take the channel's turn; raise SlackRateLimitError when it is not free yet."""
        if self.seconds_per_message is None:
            return
        now = self.clock()
        wait = self._free_at.get(channel.id, now) - now
        if wait > 0:
            raise SlackRateLimitError(math.ceil(wait))
        self._free_at[channel.id] = now + self.seconds_per_message

    def _next_ts(self) -> str:
        """Return the present as ts, later than every one before."""
        self._last_micros = max(int(self.clock() * _MICROS), self._last_micros + 1)
        seconds, micros = divmod(self._last_micros, _MICROS)
        return f"{seconds}.{micros:06d}"
