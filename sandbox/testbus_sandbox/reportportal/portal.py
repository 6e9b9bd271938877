"""One ReportPortal without HTTP: its rules under one lock, the queue behind v2, and snapshots for everybody else."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from testbus_sandbox.errors import ReportPortalError
from testbus_sandbox.reportportal.models import Hidden, Item, Launch, LogEntry, Totals
from testbus_sandbox.reportportal.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_sandbox.reportportal.models import ItemRecord, LaunchRecord, LogRecord

Answer = TypeVar("Answer")
Started = TypeVar("Started", "LaunchRecord", "ItemRecord")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A request that v2 accepted."""

    #: What was asked, for example `start item`.
    request: str
    #: uuid of the launch, item or log entry that it starts or finishes.
    uuid: str
    #: Applies it; raises ReportPortalError.
    apply: Callable[[Store], object]
    #: True when it brings the launch or item of that uuid into being.
    creates: bool = False


@dataclass(slots=True)
class Portal:
    """The rules of one server, safe to call from any thread."""

    store: Store = field(default_factory=Store)
    _lock: Lock = field(default_factory=Lock)
    _waiting: dict[str, list[tuple[Queued, ReportPortalError]]] = field(default_factory=dict)
    _hidden: list[Hidden] = field(default_factory=list)
    _changes: int = 0
    _snapshot: tuple[int, tuple[Launch, ...]] = (-1, ())

    def read(self, question: Callable[[Store], Answer]) -> Answer:
        """Return what the question finds in the store; ReportPortalError passes through."""
        with self._lock:
            return question(self.store)

    def apply(self, change: Callable[[Store], Answer]) -> Answer:
        """Apply a v1 request now; ReportPortalError passes through."""
        with self._lock:
            self._changes += 1
            return change(self.store)

    def start(self, change: Callable[[Store], Started]) -> Started:
        """Start a launch or an item now, and then what v2 accepted and could not do before it existed."""
        with self._lock:
            self._changes += 1
            record = change(self.store)
            if self._waiting:
                self._drain(record.uuid)
            return record

    def enqueue(self, queued: Queued) -> None:
        """Accept a v2 request: apply it when possible, wait for what is missing, hide every other error."""
        with self._lock:
            self._changes += 1
            self._attempt(queued)
            if queued.creates:
                self._drain(queued.uuid)

    def launches(self) -> tuple[Launch, ...]:
        """Return everything as immutable data; unchanged since the last call, it is the same object."""
        with self._lock:
            version, launches = self._snapshot
            if version != self._changes:
                launches = tuple(_launch(record) for record in self.store.launches.values())
                self._snapshot = self._changes, launches
            return launches

    def hidden(self) -> tuple[Hidden, ...]:
        """Return the errors that v2 kept to itself, those still waiting last."""
        with self._lock:
            waiting = [entry for entries in self._waiting.values() for entry in entries]
            return (*self._hidden, *(_hidden(queued, error, waiting=True) for queued, error in waiting))

    def totals(self) -> Totals:
        """Return how much there is, without a snapshot."""
        with self._lock:
            return self.store.totals()

    def _attempt(self, queued: Queued) -> None:
        """Apply one request of the queue."""
        try:
            queued.apply(self.store)
        except ReportPortalError as error:
            if error.missing is None:
                self._hidden.append(_hidden(queued, error, waiting=False))
            else:
                self._waiting.setdefault(error.missing, []).append((queued, error))

    def _drain(self, uuid: str) -> None:
        """Apply what waited for a uuid, and what waited for that in turn."""
        ready = deque([uuid])
        while ready:
            for queued, _ in self._waiting.pop(ready.popleft(), ()):
                self._attempt(queued)
                if queued.creates:
                    ready.append(queued.uuid)


def _hidden(queued: Queued, error: ReportPortalError, *, waiting: bool) -> Hidden:
    """Return the record of an error that was not reported to the client."""
    return Hidden(request=queued.request, uuid=queued.uuid, code=error.code, message=error.message, waiting=waiting)


def _launch(record: LaunchRecord) -> Launch:
    """Return a launch with everything in it, as it is now."""
    return Launch(
        id=record.id,
        uuid=record.uuid,
        number=record.number,
        name=record.name,
        description=record.description,
        start_time=record.start_time,
        end_time=record.end_time,
        status=record.status,
        mode=record.mode,
        rerun=record.rerun,
        attributes=tuple(record.attributes),
        items=tuple(_item(item) for item in record.items),
        logs=tuple(_log(log) for log in record.logs),
    )


def _item(record: ItemRecord) -> Item:
    """Return an item as it is now."""
    return Item(
        id=record.id,
        uuid=record.uuid,
        parent=record.parent.uuid if record.parent else None,
        type=record.type,
        name=record.name,
        description=record.description,
        start_time=record.start_time,
        end_time=record.end_time,
        status=record.status,
        issue=record.issue,
        attributes=tuple(record.attributes),
        parameters=record.parameters,
        code_ref=record.code_ref,
        test_case_id=record.test_case_id,
        unique_id=record.unique_id,
        has_stats=record.has_stats,
        retry_of=record.retry_of.uuid if record.retry_of else None,
        logs=tuple(_log(log) for log in record.logs),
    )


def _log(record: LogRecord) -> LogEntry:
    """Return a log entry."""
    return LogEntry(
        id=record.id,
        uuid=record.uuid,
        time=record.time,
        level=record.level,
        message=record.message,
        attachment=record.attachment,
    )
