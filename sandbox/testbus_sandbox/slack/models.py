"""What a Slack workspace of the sandbox holds, as immutable data for tests, benchmarks and pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


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

    #: The message before.
    before: Message
    #: The message after.
    after: Message
