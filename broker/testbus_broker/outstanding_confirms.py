"""Which messages are published, confirmed, refused or still open: bookkeeping without any input or output."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbus_broker.message import Message

#: How many confirms that came too late are remembered, for whoever publishes the same messages again.
LATE: Final = 1000

#: Bytes of bodies that may wait for their confirm at the same time; one message may be larger.
WINDOW_BYTES: Final = 16 << 20


class Batch:
    """The messages of one `publish`: filled in by the connection's thread, waited for by the caller's."""

    def __init__(self, messages: Sequence[Message]) -> None:
        """Take the messages; all are open."""
        self.messages = tuple(messages)
        #: Set when every message is confirmed or given up.
        self.done = threading.Event()
        #: Why messages were not confirmed: the first reason that was heard.
        self.reason = ""
        self._confirmed = bytearray(len(self.messages))
        self._open = len(self.messages)

    def settle(self, index: int, refusal: str = "") -> None:
        """Note that the message at `index` was confirmed, or else why it was refused."""
        self._confirmed[index] = not refusal
        self.reason = self.reason or refusal
        self._open -= 1
        if not self._open:
            self.done.set()

    def give_up(self, reason: str) -> None:
        """End the waiting: what is not confirmed by now stays unconfirmed for this reason."""
        self.reason = self.reason or reason
        self.done.set()

    def unconfirmed(self) -> list[Message]:
        """Return the messages that are not confirmed, in their order."""
        return [message for message, sure in zip(self.messages, self._confirmed, strict=True) if not sure]


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A message that is handed to the broker, and then waits for its confirm."""

    batch: Batch
    #: Its position in the batch.
    index: int

    @property
    def message(self) -> Message:
        """Return the message."""
        return self.batch.messages[self.index]


class Window:
    """The messages of all batches on one channel: those that wait for room, and those that wait for a confirm.

    Delivery tags follow the rules of RabbitMQ's confirms: 1, 2, … on each channel, acknowledged singly or up to one.
    """

    def __init__(self, size: int, size_bytes: int = WINDOW_BYTES) -> None:
        """Take how many messages, and how many bytes of bodies, may wait for their confirm at the same time."""
        self._size = size
        self._size_bytes = size_bytes
        self._bytes = 0
        self._waiting: deque[tuple[Batch, Iterator[int]]] = deque()
        self._sent: OrderedDict[int, Outstanding] = OrderedDict()
        self._returned: dict[int, str] = {}
        self._tag = 0
        # By message id: what is under way on this channel, and what was confirmed when nobody waited any more.
        self._under_way: dict[str, int] = {}
        self._late: OrderedDict[str, Message] = OrderedDict()

    @property
    def wanted(self) -> bool:
        """Tell whether somebody still waits for messages that were not sent."""
        while self._waiting and self._waiting[0][0].done.is_set():
            self._waiting.popleft()
        return bool(self._waiting)

    @property
    def outstanding(self) -> int:
        """Return how many messages wait for their confirm."""
        return len(self._sent)

    def add(self, batch: Batch) -> None:
        """Append a batch to those that wait for room."""
        self._waiting.append((batch, iter(range(len(batch.messages)))))

    def take(self) -> Outstanding | None:
        """Return the next message to send, or None: no room, or nothing to send. Follow up with `sent` or `settle`.

        A message that was given up and is published again is not sent twice on one channel: the confirm of the first
        time counts, also when it came in between. So a slow broker is not given more to do, and is heard in the end.
        """
        while len(self._sent) < self._size and self._bytes < self._size_bytes and self.wanted:
            batch, indexes = self._waiting[0]
            index = next(indexes, None)
            if index is None:
                self._waiting.popleft()
            elif not self._was_sent(sent := Outstanding(batch, index)):
                return sent
        return None

    def _was_sent(self, sent: Outstanding) -> bool:
        message = sent.message
        if message.message_id is None:
            return False
        if self._late.get(message.message_id) == message:
            del self._late[message.message_id]
            sent.batch.settle(sent.index)
            return True
        tag = self._under_way.get(message.message_id, 0)
        before = self._sent.get(tag)
        if before is None or not before.batch.done.is_set() or before.message != message:
            return False
        self._sent[tag] = sent
        return True

    def sent(self, sent: Outstanding) -> None:
        """Note that a message went out: it has the channel's next delivery tag."""
        self._tag += 1
        self._sent[self._tag] = sent
        self._bytes += len(sent.message.body)
        if sent.message.message_id is not None:
            self._under_way[sent.message.message_id] = self._tag

    def returned(self, exchange: str, routing_key: str, body: bytes, reason: str) -> None:
        """Note that the broker could not route a message; the confirm that follows does not count.

        A return carries no delivery tag. Equal messages have an equal fate, so the first such one is meant.
        """
        for tag, sent in self._sent.items():
            message = sent.message
            if (
                tag not in self._returned
                and message.routing_key == routing_key
                and message.exchange == exchange
                and message.body == body
            ):
                self._returned[tag] = reason
                return

    def answered(self, tag: int, *, multiple: bool, refusal: str = "") -> None:
        """Note a confirm (or with `refusal` a negative one) for one message, or for all up to its tag (0: all sent)."""
        tags = list(takewhile(lambda each: not tag or each <= tag, self._sent)) if multiple else [tag]
        for each in tags:
            sent = self._sent.pop(each, None)
            reason = self._returned.pop(each, "") or refusal
            if sent:
                self._bytes -= len(sent.message.body)
                self._note_late(each, sent, reason)
                sent.batch.settle(sent.index, reason)

    def _note_late(self, tag: int, sent: Outstanding, refusal: str) -> None:
        name = sent.message.message_id
        if name is None:
            return
        if self._under_way.get(name) == tag:
            del self._under_way[name]
        if sent.batch.done.is_set() and not refusal:
            self._late[name] = sent.message
            if len(self._late) > LATE:
                self._late.popitem(last=False)

    def channel_lost(self, reason: str) -> None:
        """Give up every batch of which something was sent: what became of it cannot be known any more."""
        begun = {id(sent.batch): sent.batch for sent in self._sent.values()}
        self._sent.clear()
        self._under_way.clear()
        self._returned.clear()
        self._tag = self._bytes = 0
        for batch in begun.values():
            batch.give_up(reason)

    def give_up(self, reason: str) -> None:
        """Give up everything."""
        self.channel_lost(reason)
        for batch, _ in self._waiting:
            batch.give_up(reason)
        self._waiting.clear()
