"""What `jira` keeps of a run's failures until they are filed, and how it reads them back by cause."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select

from testbus_consumers.jira.tables import ATTEMPT, CAUSE, LAUNCH
from testbus_consumers.jira.text import clean, excerpt
from testbus_consumers.runtime import Closing, Done, Outcome, State
from testbus_consumers.store.engine import insert
from testbus_consumers.wording.text import first_line
from testbus_schemas import fingerprint
from testbus_schemas.fingerprints import root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_consumers.jira.settings import JiraSettings
    from testbus_schemas import Event, Result, ResultsRecorded

#: How long what failed in a run is kept: it may be reopened by a late producer.
_KEPT: Final = timedelta(days=14)

#: Characters of a failure's text that are kept.
_TEXT_CHARS: Final = 6000

#: Characters of a message's first line that are kept.
_MESSAGE_CHARS: Final = 500


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One root cause in one run."""

    #: Its identity.
    fingerprint: str
    #: Exception class.
    type: str
    #: First line of the message.
    message: str
    #: End of the failure's text.
    text: str
    #: Tests that failed for it, with the variant when that is not the default, in order.
    tests: tuple[str, ...]


def record_results(event: Event[ResultsRecorded], state: State[JiraSettings]) -> Outcome:
    """Keep what failed, and what passed in a later attempt."""
    if why := state.settings.leaves_out(event.data.context):
        return Done(why)
    attempts: list[dict[str, Any]] = []
    causes: dict[str, dict[str, Any]] = {}
    for result in event.data.results:
        identity = _fingerprint(result)
        if not identity and result.attempt == 1:
            continue
        attempts.append(_attempt(event, result, identity))
        if identity:
            failure = result.failures[0]
            raised = root(failure)
            causes.setdefault(
                identity,
                {
                    "run": event.data.context.run,
                    "fingerprint": identity,
                    "type": clean(raised.type),
                    "message": clean(first_line(raised.message))[:_MESSAGE_CHARS],
                    "text": excerpt(failure.text or failure.message, _TEXT_CHARS),
                },
            )
    if attempts:
        _keep_attempts(state, attempts)
        forget_later(state, event.subject)
    if causes:
        state.connection.execute(insert(state.connection, CAUSE).on_conflict_do_nothing(), list(causes.values()))
    return Done()


def causes_of(closing: Closing, state: State[JiraSettings]) -> list[Cause]:
    """Return the causes of a run's failures, those of most tests first; superseded producers do not count.

    A test fails for the cause of its last attempt: one that passed in the end is flaky, and nobody's issue.
    """
    tests: dict[str, set[str]] = defaultdict(set)
    for row in state.execute(select(ATTEMPT).where(ATTEMPT.c.run == closing.run, ATTEMPT.c.fingerprint != "")):
        if row.producer not in closing.superseded:
            variant = f" [{row.variant}]" if row.variant != "default" else ""
            tests[row.fingerprint].add(f"{row.node_id}{variant}")
    found = [
        Cause(
            fingerprint=row.fingerprint,
            type=row.type,
            message=row.message,
            text=row.text,
            tests=tuple(sorted(tests[row.fingerprint])),
        )
        for row in state.execute(select(CAUSE).where(CAUSE.c.run == closing.run))
        if row.fingerprint in tests
    ]
    return sorted(found, key=lambda cause: (-len(cause.tests), cause.fingerprint))


def forget_later(state: State[JiraSettings], run: str) -> None:
    """Forget what failed in a run once it cannot be reopened any more."""
    state.schedule("forget", run, after=_KEPT, payload={"run": run})


def fingerprints_of(state: State[JiraSettings], run: str) -> list[str]:
    """Return the causes of everything that failed in a run."""
    return list(state.execute(select(CAUSE.c.fingerprint).where(CAUSE.c.run == run)).scalars())


def forget(payload: Mapping[str, Any], state: State[JiraSettings]) -> Outcome:
    """Forget what failed in a run: it is in the issues."""
    for table in (ATTEMPT, CAUSE, LAUNCH):
        state.execute(delete(table).where(table.c.run == payload["run"]))
    return Done()


def _fingerprint(result: Result) -> str:
    return fingerprint(result.failures[0]) if result.outcome.bad and result.failures else ""


def _attempt(event: Event[ResultsRecorded], result: Result, identity: str) -> dict[str, Any]:
    origin = event.data.producer
    return {
        "run": event.data.context.run,
        "producer": origin.id if origin else "",
        "test": hashlib.sha256(result.node_id.encode()).hexdigest()[:32],
        "node_id": clean(result.node_id),
        "variant": event.data.context.variant,
        "attempt": result.attempt,
        "fingerprint": identity,
    }


def _keep_attempts(state: State[JiraSettings], rows: list[dict[str, Any]]) -> None:
    """Keep each test's last attempt, in whatever order they come."""
    statement = insert(state.connection, ATTEMPT)
    statement = statement.on_conflict_do_update(
        index_elements=[ATTEMPT.c.run, ATTEMPT.c.producer, ATTEMPT.c.test],
        set_={"attempt": statement.excluded.attempt, "fingerprint": statement.excluded.fingerprint},
        where=ATTEMPT.c.attempt < statement.excluded.attempt,
    )
    state.connection.execute(statement, rows)
