"""`requests`: answers what runners ask from the state of other consumers, which it reads and never writes.

On a queue of its own: whoever waits for a verdict waits behind no results and no decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbus_consumers.gates.tables import GATES, evaluation
from testbus_consumers.runtime import Consumer, answer
from testbus_consumers.settings import Section
from testbus_schemas import VerdictRequested

if TYPE_CHECKING:
    from testbus_consumers.store.reader import StateReader
    from testbus_schemas import Event, RunContext


class RequestsSettings(Section):
    """Section `consumers.requests`: there is nothing to set."""


def answer_verdict(event: Event[VerdictRequested], reader: StateReader) -> dict[str, Any]:
    """Answer what the latest verdict on a run is; see `verdict_on`."""
    return verdict_on(event.data.context, reader)


def verdict_on(context: RunContext, reader: StateReader) -> dict[str, Any]:
    """Return the latest verdict on a run: JSON with `status` (`pending` or `decided`), `run`, `evaluation`.

    A beginning of an id stands for it where it can mean no other run of the project. Raises NoStateError where `gates`
    has no state yet: that says nothing about a verdict.
    """
    with reader.of(GATES) as connection:
        found = evaluation(connection, context.project, context.run)
    if found is None:
        return {"status": "pending", "run": context.run, "evaluation": None}
    run, evaluated = found
    return {"status": "decided", "run": run, "evaluation": evaluated}


#: What is answered.
CONSUMER = Consumer(
    name="requests",
    summary="answers runners that wait for a verdict",
    settings=RequestsSettings,
    handlers={VerdictRequested: answer(answer_verdict)},
)
