"""One replay: from where, to which queue, what it wants, and how far it is."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol, Self

from testbus_consumers.errors import ConsumerError
from testbus_consumers.rate_limits import LocalLimits
from testbus_consumers.runtime.replay_mark import Mode
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import SchemaError, decode
from testbus_schemas.catalog import EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence
    from contextlib import AbstractContextManager

    from testbus_broker.message import Message
    from testbus_broker.topology import Subscription
    from testbus_consumers.registry import Instance
    from testbus_consumers.runtime.replay_mark import Replay
    from testbus_consumers.store import Store
    from testbus_schemas import Event, EventData


#: Events that are looked up in the ledger, and sent with one window of confirms, at a time.
BATCH: Final = 500


class ReplayRefusedError(ConsumerError):
    """The replay makes no sense for this consumer; the message says why, and what does."""


class EventSource(Protocol):
    """Where events of the past are read, and where one queue is: the broker, or an embedded home."""

    @property
    def end(self) -> int | None:
        """Return about the offset behind the last event; None when nobody knows."""

    def oldest(self) -> Message | None:
        """Return the oldest event that was kept; None when there is none."""

    def events(self, begin: datetime | int | None) -> Iterable[tuple[int | None, Message]]:
        """Yield what was published and kept, the oldest first, each with its offset if it has one.

        `begin` is a time or an offset, None for the oldest; what was recorded before may be left out.
        """

    def put(self, messages: Sequence[Message]) -> None:
        """Put messages into the queue; they are safe when this returns."""

    def alone(self) -> AbstractContextManager[None]:
        """Keep away, for a while, whoever would take an event for read that is about to be reset."""


class Pace:
    """How many events may be sent in a second."""

    def __init__(self, per_second: float | None = None) -> None:
        """Take the rate; None is as fast as it goes."""
        self._rate = per_second
        self._limits = LocalLimits()
        #: Events to be sent at a time: no more than a second's.
        self.batch = BATCH if per_second is None else max(1, min(BATCH, int(per_second)))

    def wait(self, events: int) -> None:
        """Wait until so many events may be sent."""
        if self._rate is not None and events:
            time.sleep(self._limits.take("replay", every_s=1 / self._rate, longest_s=math.inf, turns=events))


@dataclass(kw_only=True)
class Filled:
    """What a replay did so far; `wanted` is `seen` and `missing` together."""

    #: Events read.
    read: int = 0
    #: About how many there are to read; None when nobody knows.
    total: int | None = None
    #: Those that the queue is bound to, and that were selected.
    wanted: int = 0
    #: Those of them that the queue has seen before, or that were published more than once.
    seen: int = 0
    #: Those that it never saw.
    missing: int = 0
    #: Those that were sent to it.
    sent: int = 0
    #: What the queue is bound to and nobody can read: it would only go to the dead letters.
    unreadable: int = 0
    #: When the oldest event that was kept was recorded; None when there is none.
    begins: datetime | None = None
    #: Everything before this offset of the stream is dealt with; None where there are no offsets.
    offset: int | None = None
    #: Runs that were selected to be recomputed.
    runs: int = 0
    #: Events that the consumer keeps itself, and reads again there: they are not sent.
    kept: int = 0
    #: Runs of those that were left as they are: some of their events were not kept.
    left: int = 0


def _no_progress(filled: Filled) -> None:
    """Show nothing."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done."""

    #: Where events are, and where they go.
    place: EventSource
    #: Whose queue it is.
    instance: Instance
    #: Its state.
    store: Store
    #: Which events.
    selection: Selection
    #: What is wanted of the queue.
    replay: Replay
    #: Only count.
    dry_run: bool = False
    #: Take what there is of what was not kept whole.
    allow_partial: bool = False
    #: Where to begin: an offset of the stream; None for the oldest, or for where the selection begins.
    begin: int | None = None
    #: How fast.
    pace: Pace = field(default_factory=Pace)
    #: How far it is.
    filled: Filled = field(default_factory=Filled)
    #: Called after each event read.
    progress: Callable[[Filled], None] = _no_progress

    def watched_by(self, progress: Callable[[Filled], None]) -> Self:
        """Return the same plan, with something that shows how far it is."""
        return replace(self, progress=progress)

    def validate(self) -> None:
        """Raise ReplayRefusedError for what this consumer has no use for, UnknownTypeError for a type."""
        self.selection.require_known(self.instance.subscription)
        consumer, label = self.instance.consumer, self.instance.label
        if self.replay.mode is Mode.RECOMPUTE:
            if consumer.reset_run is None and consumer.keeps is None:
                raise ReplayRefusedError(
                    f"{label} keeps no results that could be computed again: what it did is at its target, "
                    "where --resend looks for it"
                )
            if self.replay.notify:
                raise ReplayRefusedError("--recompute calls nobody, so there is nobody to --notify")
            if self.begin is not None:
                raise ReplayRefusedError("--recompute is about whole runs: choose them with --since, or --run")
        elif self.replay.mode is Mode.RESEND:
            if not consumer.calls:
                raise ReplayRefusedError(f"{label} has no target to ask: --recompute makes its rows anew")
            if consumer.notifies and not self.replay.notify:
                raise ReplayRefusedError(
                    f"{label} notifies people, and a replay without --notify sends no notifications: --resend --notify "
                    "posts again what somebody deleted"
                )

    def require_complete(self) -> None:
        """Note when what was kept begins; PartialRangeError when that is after the selection does, unless allowed."""
        oldest = self.place.oldest()
        if oldest is None or (begins := _moment(oldest)) is None:
            return
        self.filled.begins = begins
        if not self.allow_partial:
            self.selection.require_complete(begins)


def _moment(message: Message) -> datetime | None:
    """Return when a message was recorded, or else published."""
    try:
        return decode(message.body, message.content_encoding).time
    except SchemaError:
        return None if message.timestamp is None else datetime.fromtimestamp(message.timestamp, UTC)


class PartialRangeError(ConsumerError):
    """The range begins before what was kept does: give a later --since, or take what there is with --allow-partial."""


class UnknownTypeError(ConsumerError):
    """No event of that type reaches the queue: see the types that the message names."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is to be replayed; everything that is not None has to fit."""

    #: Events recorded at this time or later (aware).
    since: datetime | None = None
    #: Events recorded before this time (aware).
    until: datetime | None = None
    #: Events of this run.
    run: str | None = None
    #: Events of these runs.
    runs: Container[RunKey] | None = None
    #: Events of this project.
    project: str | None = None
    #: Events of this type (short name, as results.recorded).
    type: str | None = None

    def wants_key(self, subscription: Subscription, routing_key: str) -> bool:
        """Tell whether an event that was published under this key may be wanted, without reading it."""
        name, _, project = routing_key.rpartition(".")
        return subscription.wants(routing_key) and self.type in {None, name} and self.project in {None, project}

    def wants(self, event: Event[EventData]) -> bool:
        """Tell whether an event whose key fits is wanted."""
        return (
            self.run in {None, event.subject}
            and (self.runs is None or RunKey.of(event.data.context) in self.runs)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
        )

    def require_known(self, subscription: Subscription) -> None:
        """Raise UnknownTypeError when no event of the type that is wanted reaches the queue."""
        known = sorted(name for name in EVENT_TYPES if subscription.wants(f"{name}.project"))
        if self.type is not None and self.type not in known:
            raise UnknownTypeError(f"no {self.type} reaches {subscription.name}; it receives {', '.join(known)}")

    def require_complete(self, begins: datetime) -> None:
        """Raise PartialRangeError when what was kept `begins` later than the range does."""
        if self.since is not None and self.since < begins:
            raise PartialRangeError(
                f"the oldest event that was kept is of {begins.isoformat(timespec='seconds')}, the range begins at "
                f"{self.since.isoformat(timespec='seconds')}: give a later --since, or take what there is with "
                "--allow-partial"
            )
