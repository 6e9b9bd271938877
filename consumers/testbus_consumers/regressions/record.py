"""What `regressions` keeps of each event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.records.coverage import measured
from testbus_consumers.regressions.tables import COVERAGE, PRODUCER, RESULT
from testbus_consumers.runtime import Done, Outcome, State
from testbus_consumers.store.engine import insert
from testbus_consumers.wording import text
from testbus_schemas import Outcome as TestOutcome
from testbus_schemas import fingerprint
from testbus_schemas.fingerprints import root

if TYPE_CHECKING:
    from testbus_schemas import CoverageRecorded, Event, ResultsRecorded

#: Characters of what a failure said that are kept.
_SAID_CHARS: Final = 200

#: Outcomes that say nothing about the code.
_SILENT: Final = frozenset({TestOutcome.SKIPPED, TestOutcome.NOT_RUN})


def record_results(event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
    """Keep whether each attempt was good or bad, and the identity of its failure."""
    _record_producer(event, state)
    rows = []
    for result in event.data.results:
        failure = result.failures[0] if result.failures and result.outcome.bad else None
        said = text.said(*root(failure), _SAID_CHARS) if failure else ""
        rows.append(
            _of(event)
            | {
                "node_id": result.node_id,
                "attempt": result.attempt,
                "bad": None if result.outcome in _SILENT else result.outcome.bad,
                "fingerprint": fingerprint(failure) if failure else "",
                "said": said[:_SAID_CHARS],
            }
        )
    if rows:
        state.connection.execute(_entry(state), rows)
    return Done()


def record_coverage(event: Event[CoverageRecorded], state: State[Any]) -> Outcome:
    """Keep the line sets of each file until they are added up."""
    _record_producer(event, state)
    rows = [
        _of(event)
        | {
            "path": file.path,
            "statements": file.statements,
            "executed": file.executed,
            "branches": file.branches,
            "executed_branches": file.executed_branches,
        }
        for file in event.data.files
    ]
    # Checked now: a line set that cannot be read must stop this event, not the comparison.
    measured(rows)
    if rows:
        state.connection.execute(insert(state.connection, COVERAGE).on_conflict_do_nothing(), rows)
    return Done()


def _entry(state: State[Any]) -> Any:
    """Return what enters results: the first word on an attempt counts, unless it is recomputed what it means."""
    statement = insert(state.connection, RESULT)
    if not state.recomputed:
        return statement.on_conflict_do_nothing()
    meant = {name: statement.excluded[name] for name in ("bad", "fingerprint", "said")}
    return statement.on_conflict_do_update(index_elements=list(RESULT.primary_key), set_=meant)


def _record_producer(event: Event[Any], state: State[Any]) -> None:
    context = event.data.context
    row = _of(event) | {
        "project": context.project,
        "variant": context.variant,
        "shard": context.shard_index,
        "started_at": context.started_at.timestamp(),
    }
    state.execute(insert(state.connection, PRODUCER).values(**row).on_conflict_do_nothing())


def _of(event: Event[Any]) -> dict[str, Any]:
    origin = event.data.producer
    return {"run": event.data.context.run, "producer": origin.id if origin else ""}
