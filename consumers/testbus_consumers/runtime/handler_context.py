"""What a handler is given: `State` inside one transaction, `Effects` outside any."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from testbus_consumers.errors import NotDoneError, UnsettledError
from testbus_consumers.rate_limits import Limits, LocalLimits
from testbus_consumers.runtime.replay_mark import Mode, derived_mark, is_past, mode_of
from testbus_consumers.store import intents, jobs, outbox
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import derived
from testbus_schemas.catalog import by_data
from testbus_schemas.identity import derived_event_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sqlalchemy import Connection, CursorResult, Executable

    from testbus_consumers.records.reading import Records
    from testbus_consumers.runtime.leases import Held
    from testbus_consumers.store import Store
    from testbus_consumers.store.outbox import Unsent
    from testbus_schemas import EventData

S = TypeVar("S")
C = TypeVar("C")


class State(Generic[S]):
    """One transaction of one consumer: rows, timers and derived events are committed together, or not at all."""

    def __init__(
        self,
        connection: Connection,
        *,
        consumer: str,
        settings: S,
        cause: str,
        now: float,
        replay: str = "",
        body: tuple[bytes, str | None] | None = None,
    ) -> None:
        """Wrap a transaction of the queue `consumer`; `cause` names the event or job that is handled.

        `replay` is the mark of the replay that led here; whatever follows carries it on.
        """
        self._connection = connection
        self._cause = cause
        self._now = now
        self._replay = replay
        #: Name of the queue this runs for, as `gates` or `reportportal.eu`.
        self.consumer = consumer
        #: The consumer's (or target's) settings.
        self.settings = settings
        #: The event's body and its encoding ("gzip" or None), as they came; None where no event is handled.
        self.body = body
        #: What was emitted so far.
        self.emitted: list[Unsent] = []

    @property
    def now(self) -> datetime:
        """Return this consumer's clock."""
        return datetime.fromtimestamp(self._now, UTC)

    @property
    def replayed(self) -> bool:
        """Tell whether a replayed event led here: it is about the past."""
        return is_past(self._replay)

    @property
    def recomputed(self) -> bool:
        """Tell whether this was handled before, and its rows are to be replaced by what it means now."""
        return mode_of(self._replay) is Mode.RECOMPUTE

    def execute(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> CursorResult[Any]:
        """Run one SQL statement; one that is made once, and given its parameters here, costs half."""
        return self._connection.execute(statement, parameters)

    @property
    def connection(self) -> Connection:
        """Return the transaction itself, for upserts and bulk statements."""
        return self._connection

    def emit(self, data: EventData, *, counted: Iterable[str], policy: str = "1") -> str:
        """Publish a derived event once this transaction is committed, and return its id.

        The id follows from this consumer, the type, the run, what was `counted` (in any order) and the version of the
        `policy`: handling the same again, or in another order, emits the same event.
        """
        name = by_data(type(data)).name
        event_id = derived_event_id(self.consumer, name, str(RunKey.of(data.context)), counted, policy)
        event = derived(data, consumer=self.consumer, event_id=event_id, time=self.now)
        mark = derived_mark(self._replay)
        self.emitted.append(outbox.add(self._connection, self._cause, event, self._now, replay=mark))
        return event_id

    def schedule(
        self,
        name: str,
        key: str,
        *,
        after: timedelta,
        payload: Mapping[str, Any] | None = None,
        when_drained: bool = False,
    ) -> None:
        """Set the consumer's timer `name` on `key`, replacing an earlier one.

        `when_drained` holds it back while events wait in this consumer's queue: a deadline must not take a backlog for
        silence.
        """
        due = self._now + after.total_seconds()
        jobs.schedule(self._connection, name, key, due, payload or {}, when_drained=when_drained, replay=self._replay)

    def cancel(self, name: str, key: str) -> None:
        """Forget a timer."""
        jobs.cancel(self._connection, name, key)


@dataclass(frozen=True, kw_only=True)
class Effects(Generic[S, C]):
    """What a handler needs to act on a target: its client, and a memory that outlives the process."""

    #: The queue's state.
    store: Store
    #: Name of the queue, as `slack` or `reportportal.eu`.
    consumer: str
    #: The target's settings.
    settings: S
    #: The target's client, made by the consumer's `connect`.
    client: C
    #: The event or job that is handled.
    cause: str
    #: Clock, in seconds since the epoch.
    clock: Callable[[], float]
    #: Leases of this process.
    held: Held
    #: How often targets may be called, by all workers together.
    limits: Limits = field(default_factory=LocalLimits)
    #: Mark of the replay that led here, "" for what happens now.
    replay: str = ""
    #: What `runs` keeps of runs; None where there is none to be read.
    records: Records | None = None

    @property
    def replayed(self) -> bool:
        """Tell whether a replayed event led here: it is about the past."""
        return is_past(self.replay)

    @property
    def resent(self) -> bool:
        """Tell whether what was done is not to be believed: a person asked to look at the target again."""
        return mode_of(self.replay) is Mode.RESEND

    @property
    def now(self) -> datetime:
        """Return this consumer's clock."""
        return datetime.fromtimestamp(self.clock(), UTC)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[State[S]]:
        """Give a short transaction; never hold it around a call to the target."""
        with self.store.begin() as connection:
            yield State(
                connection,
                consumer=self.consumer,
                settings=self.settings,
                cause=self.cause,
                now=self.clock(),
                replay=self.replay,
            )

    @contextlib.contextmanager
    def holding(self, key: str) -> Iterator[None]:
        """Keep every other worker of this queue out of blocks with an equal key; LeaseLostError while it is not free.

        For handlers that act on several things one after the other, and share each with other events.
        """
        with self.held.lease(self.store, key, self.clock):
            yield

    def once(
        self, key: str, act: Callable[[], Any], ask: Callable[[], Any | None], *, settle: timedelta = timedelta(0)
    ) -> Any:
        """Do something at the target exactly once, however often this is called with the same key.

        The intent is written down first, then `act()` is called, then its result (JSON) is kept and returned to every
        later call. If an earlier attempt got no further than its intent, `ask()` looks at the target by a deterministic
        key: what it finds counts as the result, and None means that `act()` has to be called after all.

        `settle` is for a target that shows late what it has done: so long after an attempt began, "not there" is not
        believed, and UnsettledError says when to look again. A NotDoneError from `act()` takes the intent back.

        Where a replay resends, a result that is known is not believed either: the target is asked, and acted on again
        if it has lost what was done.
        """
        with self.store.begin() as connection:
            intent = intents.begin(connection, key, self.clock())
        if intent.done and not self.resent:
            return intent.result
        result = ask() if intent.begun_before else None
        if result is None:
            result = self._act(key, act, self._begun(key, intent, settle))
        with self.store.begin() as connection:
            intents.resolve(connection, key, result, self.clock())
        return result

    def _begun(self, key: str, intent: intents.Intent, settle: timedelta) -> float:
        """Return when this attempt began, in seconds since the epoch, once nothing of the one before can turn up."""
        if not intent.begun_before:
            return intent.begun_at
        now = self.clock()
        left = intent.begun_at + settle.total_seconds() - now
        if settle and left > 0:
            raise UnsettledError(
                f"{key} may have been done already, and would not show yet: look again in {left:.0f} s",
                timedelta(seconds=math.ceil(left)),
            )
        with self.store.begin() as connection:
            intents.begin_again(connection, key, intent, now)
        return now

    def _act(self, key: str, act: Callable[[], Any], begun_at: float) -> Any:
        try:
            return act()
        except NotDoneError:
            with self.store.begin() as connection:
                intents.withdraw(connection, key, begun_at)
            raise
