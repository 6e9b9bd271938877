"""The moment when a consumer has seen all of a run that it will see."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from testbus_consumers.errors import NoRecordError
from testbus_consumers.store.run_key import RunKey
from testbus_schemas.runs import RunInterrupted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from testbus_consumers.records.reading import Record, Records
    from testbus_schemas import Event, RunCompleted, RunContext


@dataclass(frozen=True, kw_only=True)
class Closing:
    """A run that has been decided complete or interrupted, and that this consumer has processed as far."""

    #: The run's context.
    context: RunContext
    #: Number of the decision of `runs`, from 1; a higher one replaces the lower.
    revision: int
    #: Id of the event that carried the decision.
    event_id: str
    #: Whether nothing is missing.
    complete: bool
    #: What is missing, for people.
    reasons: tuple[str, ...]
    #: Producers whose results no longer count: a higher CI attempt took their place.
    superseded: frozenset[str]
    #: Producers that a person or the CI stopped, superseded ones too: what failed there may have failed for that.
    stopped: frozenset[str] = frozenset()
    #: Whether what is missing is so because a person or the CI cancelled the run: no reason to alarm anybody.
    cancelled: bool = False
    #: Counted events per producer and type, as `runs` received them.
    expected: Mapping[str, Mapping[str, int]]
    #: When the last counted producer ended.
    finished_at: datetime
    #: Whether a replayed event led to it: then it is about the past, and people were told, or are not to be.
    replayed: bool = False
    #: Where the record is read; None where nothing is kept.
    records: Records | None = field(default=None, compare=False, repr=False)

    @cached_property
    def record(self) -> Record:
        """Return what `runs` keeps of this decision: results, causes, coverage. Raises NoRecordError."""
        if self.records is None:
            raise NoRecordError(f"no record can be read of run {self.run}")
        return self.records.open(self.context, self.revision)

    @property
    def key(self) -> RunKey:
        """Return what names the run in tables."""
        return RunKey.of(self.context)

    @property
    def run(self) -> str:
        """Return the run's id."""
        return self.context.run


def closing_of(
    event: Event[RunCompleted] | Event[RunInterrupted], missing: tuple[str, ...], *, replayed: bool = False
) -> Closing:
    """Return the closing that a decision means to one consumer.

    `missing` says what this consumer itself lacks (events it gave up or never received); with any of it the run is not
    complete for this consumer.
    """
    data = event.data
    reasons = (*(data.reasons if isinstance(data, RunInterrupted) else ()), *missing)
    return Closing(
        context=data.context,
        revision=data.revision,
        event_id=event.id,
        complete=not reasons and not isinstance(data, RunInterrupted),
        reasons=reasons,
        superseded=frozenset(data.superseded),
        stopped=frozenset(data.stopped),
        # What this consumer lacks itself was not cancelled by anybody.
        cancelled=isinstance(data, RunInterrupted) and data.cancelled and not missing,
        expected=data.expected,
        finished_at=data.finished_at,
        replayed=replayed,
    )
