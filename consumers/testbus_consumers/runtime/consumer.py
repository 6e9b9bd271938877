"""What a consumer is: plain functions in a visible table from event to handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from testbus_schemas import catalog
from testbus_schemas.runs import RunCompleted, RunInterrupted

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sqlalchemy import Connection, MetaData, Table

    from testbus_consumers.store.run_key import RunKey
    from testbus_schemas import Event, EventData


#: A handler as it is written: (event, run completion or job payload; handler context) → outcome.
HandlerFunction = Callable[[Any, Any], Any]


class Kind(Enum):
    """How the runtime runs a handler."""

    #: In one SQL transaction, without network.
    STATE = "state"
    #: Free to call out; durable through `Effects.once`.
    EFFECT = "effect"
    #: Reads the state of any queue and answers a request.
    ANSWER = "answer"


@dataclass(frozen=True, kw_only=True)
class Handler:
    """A function, and how it is to be run."""

    function: HandlerFunction
    #: How it is run.
    kind: Kind
    #: What must not run at the same time: equal keys are serialised by a lease.
    key: Callable[[Any], str] | None = None


def state(function: HandlerFunction) -> Handler:
    """Run the function `(event, State) -> Outcome` in one transaction with its seen mark and what it emits."""
    return Handler(function=function, kind=Kind.STATE)


def effect(function: HandlerFunction, *, key: Callable[[Any], str] | None = None) -> Handler:
    """Run the function `(event, Effects) -> Outcome` outside any transaction; equal `key(event)` never at once."""
    return Handler(function=function, kind=Kind.EFFECT, key=key)


def answer(function: HandlerFunction) -> Handler:
    """Run the function `(event, StateReader) -> JSON value` and send what it returns to whoever asked."""
    return Handler(function=function, kind=Kind.ANSWER)


def keep_until_replaced(_key: RunKey, _state: Any) -> None:
    """Be the `reset_run` of a consumer whose rows of a run hold until the run's decision comes again."""


def _no_client(settings: Any) -> None:
    """Stand for the client of a consumer that has no target."""


def _as_they_are(targets: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave targets without knowledge of each other."""
    return targets


class KeptRun(NamedTuple):
    """A run of which a consumer keeps events."""

    key: RunKey
    #: How many events of it are kept.
    events: int
    #: Whether each of them can still be read.
    whole: bool


@dataclass(frozen=True, kw_only=True)
class KeptEvents:
    """The events that a consumer keeps: it recomputes a run from them, and nothing has to be sent again."""

    #: Lists runs: (connection, since=, until=, run=, project=, kind=), each None where it does not matter.
    runs: Callable[..., Sequence[KeptRun]]
    #: Name of its timer that recomputes one run, on `str(RunKey)`, with the run's key as payload.
    job: str
    #: Deletes the bodies of events of runs that were not heard of since a moment (seconds since the epoch), a batch at
    #: a time; True when there may be more (`state.keep_bodies_days`).
    delete_bodies: Callable[[Connection, float], bool]


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """One named kind of reaction, with its own queue, state and workers."""

    #: Name, as in queues, configuration and commands.
    name: str
    #: What it does, in one line for `testbus status` and the docs.
    summary: str = ""
    #: Model of its section in the configuration (of one target, when `targeted`).
    settings: type[BaseModel]
    #: Event → handler: the whole of what it reacts to. Without any, a consumer that only decides.
    handlers: Mapping[type[EventData], Handler] = field(default_factory=lambda: MappingProxyType({}))
    #: Called once per decision about a run, when all of the run has passed through this consumer.
    on_complete: Handler | None = None
    #: Timers by name: handlers of `(payload, scope)`.
    jobs: Mapping[str, Handler] = field(default_factory=lambda: MappingProxyType({}))
    #: Its own tables.
    metadata: MetaData | None = None
    #: Makes its own rows ready for all events of a run to be handled again: (RunKey, State). What it leaves holds until
    #: it is replaced. None when a run cannot be recomputed, because what matters is at a target and not in the rows.
    reset_run: Callable[[RunKey, Any], None] | None = None
    #: The events that it keeps, if it does: then it recomputes runs from those, and has no use for `reset_run`.
    keeps: KeptEvents | None = None
    #: Its tables of rows about runs, by their columns `project` and `run`: they go once nothing of a run is left in the
    #: ledger (`state.keep_days`). Tables whose rows end otherwise, or do not grow with runs, are not among them.
    by_run: tuple[Table, ...] = ()
    #: Package that holds its Alembic revisions, as `testbus_consumers.gates.migrations`.
    migrations: str | None = None
    #: Whether it acts on several targets, each with its own queue, state and settings.
    targeted: bool = False
    #: Makes the targets, by name, settings that know of each other, where one's part depends on the others; raises
    #: ValueError for targets that do not go together.
    arrange: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _as_they_are
    #: Whether its effects are words to people: then none follows from a replayed event, and the ledger says so.
    notifies: bool = False
    #: Makes the client of its target from its settings, after the fork; the client has a `close()`.
    connect: Callable[[Any], Any] = _no_client
    #: Looks whether the target can be used: (client) → what was found, in a word or step by step; raises ConsumerError
    #: with what to do.
    check: Callable[[Any], str | Sequence[Finding]] | None = None

    @cached_property
    def _handled(self) -> tuple[catalog.EventType, ...]:
        """Return the types of the events that have a handler; requests are none."""
        handlers = self.handlers.items()
        return tuple(catalog.by_data(data) for data, handler in handlers if handler.kind is not Kind.ANSWER)

    @cached_property
    def counted(self) -> frozenset[str]:
        """Return the types (short names) of producers' events that must have passed before a run is complete here."""
        return frozenset(kind.name for kind in self._handled if kind.from_producers)

    @property
    def decides(self) -> bool:
        """Tell whether it waits for decisions about runs, and handles nothing that runners send."""
        return self.on_complete is not None and not self.counted

    @property
    def patterns(self) -> tuple[str, ...]:
        """Return the topic patterns of its queue."""
        wanted = {kind.name for kind in self._handled}
        if self.on_complete:
            wanted |= {catalog.by_data(data).name for data in (RunCompleted, RunInterrupted)}
        return tuple(f"{name}.*" for name in sorted(wanted))

    @property
    def calls(self) -> bool:
        """Tell whether any of its handlers calls a target."""
        handlers = (*self.handlers.values(), *self.jobs.values(), self.on_complete)
        return any(handler is not None and handler.kind is Kind.EFFECT for handler in handlers)

    def handler_of(self, event: Event[EventData]) -> Handler | None:
        """Return the handler of an event, or None when this consumer does not react to it."""
        return self.handlers.get(type(event.data))


class Level(StrEnum):
    """How good what was found is."""

    OK = "ok"
    #: It works, and a person should know something all the same.
    WARNING = "warning"
    #: Nothing can be reported until this is put right.
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    #: What, as `credentials`.
    what: str
    #: How good it is.
    level: Level
    #: What was found, and what to do where it is not ok.
    detail: str
