"""What `gates` keeps of each event, and how it reads it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from testbus_consumers.gates.facts import RunFacts, TestFact
from testbus_consumers.gates.tables import COLLECTED, COVERAGE, PRODUCER, RESULT
from testbus_consumers.records.coverage import measured, merge_coverage
from testbus_consumers.runtime import Closing, Done, Outcome, State
from testbus_consumers.store.engine import insert
from testbus_consumers.wording.text import first_line
from testbus_schemas import Outcome as TestOutcome
from testbus_schemas import ProducerStatus, fingerprint
from testbus_schemas.fingerprints import root

if TYPE_CHECKING:
    from testbus_schemas import CoverageRecorded, Event, ProducerFinished, ResultsRecorded, TestsCollected

#: Characters of a failure's first line that are kept.
_MESSAGE_CHARS = 500

#: How a producer ends that left tests out on purpose.
_LEFT_OUT = frozenset({ProducerStatus.FINISHED, ProducerStatus.INTERRUPTED})


def record_results(event: Event[ResultsRecorded], state: State[Any]) -> Outcome:
    """Keep each result's outcome and the identity of its failure."""
    rows = []
    for result in event.data.results:
        failure = result.failures[0] if result.failures else None
        raised = root(failure) if failure else None
        rows.append(
            _of(event)
            | {
                "variant": event.data.context.variant,
                "shard": event.data.context.shard_index,
                "ci_attempt": event.data.context.attempt,
                "node_id": result.node_id,
                "attempt": result.attempt,
                "outcome": result.outcome.value,
                "fingerprint": fingerprint(failure) if failure else "",
                "type": raised.type if raised else "",
                "message": first_line(raised.message)[:_MESSAGE_CHARS] if raised else "",
            }
        )
    if rows:
        statement = insert(state.connection, RESULT).on_conflict_do_nothing()
        state.connection.execute(statement, rows)
    return Done()


def record_collected(event: Event[TestsCollected], state: State[Any]) -> Outcome:
    """Keep the names of the tests that are to come."""
    row = _of(event) | {
        "variant": event.data.context.variant,
        "chunk": event.data.chunk,
        "node_ids": list(event.data.node_ids),
    }
    state.execute(insert(state.connection, COLLECTED).values(**row).on_conflict_do_nothing())
    return Done()


def record_producer(event: Event[ProducerFinished], state: State[Any]) -> Outcome:
    """Keep how a producer ended."""
    data = event.data
    lost = data.status in _LEFT_OUT and not data.left_out_on_purpose
    row = _of(event) | {"status": (ProducerStatus.UNKNOWN if lost else data.status).value}
    state.execute(insert(state.connection, PRODUCER).values(**row).on_conflict_do_nothing())
    return Done()


def record_coverage(event: Event[CoverageRecorded], state: State[Any]) -> Outcome:
    """Keep the line sets of each file."""
    rows = [
        _of(event)
        | {
            "path": file.path,
            "statements": file.statements,
            "executed": file.executed,
            # None is kept: no branches are something else than branches that nobody measured.
            "branches": file.branches,
            "executed_branches": file.executed_branches,
        }
        for file in event.data.files
    ]
    # Checked now: a line set that cannot be read must stop this event, not the verdict.
    measured(rows)
    if rows:
        state.connection.execute(insert(state.connection, COVERAGE).on_conflict_do_nothing(), rows)
    return Done()


def forget(run: str, state: State[Any]) -> None:
    """Forget what the events of a run said; the verdict holds until another one replaces it."""
    for table in (RESULT, COLLECTED, PRODUCER, COVERAGE):
        state.execute(delete(table).where(table.c.run == run))


def facts_of(closing: Closing, state: State[Any]) -> RunFacts:
    """Return what the producers that `runs` counted said of a run.

    Left out are those that a later attempt replaced, and those of other projects that used the run's id.
    """
    tests: dict[tuple[str, str, int, str], TestFact] = {}
    reported: set[tuple[str, str]] = set()
    # In an order of their own: whatever order the events came in, the same run has the same facts.
    order = (RESULT.c.variant, RESULT.c.node_id, RESULT.c.shard, RESULT.c.producer, RESULT.c.attempt)
    query = select(RESULT).where(RESULT.c.run == closing.run).order_by(*order)
    for row in state.execute(query):
        if row.producer not in closing.expected:
            continue
        reported.add((row.producer, row.node_id))
        tests[row.variant, row.node_id, row.shard, row.producer] = TestFact(
            node_id=row.node_id,
            variant=row.variant,
            outcome=TestOutcome(row.outcome),
            fingerprint=row.fingerprint,
            type=row.type,
            message=row.message,
        )
    kept = state.execute(select(COVERAGE).where(COVERAGE.c.run == closing.run)).mappings()
    return RunFacts(
        tests=(*tests.values(), *_silent(closing, reported, state)),
        coverage=merge_coverage(
            (dict(row) for row in kept if row["producer"] in closing.expected), state.settings.coverage.rules
        ),
    )


def _silent(closing: Closing, reported: set[tuple[str, str]], state: State[Any]) -> list[TestFact]:
    """Return the tests that were collected and gave no result.

    A producer that said goodbye left them out on purpose (-x, Ctrl-C); of one that died nobody knows.
    """
    ended = {
        row.producer: ProducerStatus(row.status)
        for row in state.execute(select(PRODUCER).where(PRODUCER.c.run == closing.run))
    }
    order = (COLLECTED.c.variant, COLLECTED.c.producer, COLLECTED.c.chunk)
    return [
        TestFact(
            node_id=node_id,
            variant=row.variant,
            outcome=TestOutcome.NOT_RUN if ended.get(row.producer) in _LEFT_OUT else TestOutcome.NOT_REPORTED,
        )
        for row in state.execute(select(COLLECTED).where(COLLECTED.c.run == closing.run).order_by(*order))
        if row.producer in closing.expected
        for node_id in row.node_ids
        if (row.producer, node_id) not in reported
    ]


def _of(event: Event[Any]) -> dict[str, Any]:
    origin = event.data.producer
    return {"run": event.data.context.run, "producer": origin.id if origin else ""}
