"""Tests that are known to be flaky: as `regressions` tells, and shown where they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from testbus_consumers.reportportal.tables import FLAKY
from testbus_consumers.store.engine import insert
from testbus_schemas import RegressionDetected

if TYPE_CHECKING:
    from collections.abc import Collection

    from testbus_consumers.reportportal.launches import Scope
    from testbus_consumers.runtime import State
    from testbus_schemas import Event, RegressionRecovered, RunContext

#: Attribute of failed items of such tests, and of launches that have some.
ATTRIBUTE: Final = ("flaky", "known")

#: Node ids in one question to the database.
_ASKED: Final = 500


def keep(state: State[Any], event: Event[RegressionDetected] | Event[RegressionRecovered]) -> None:
    """Keep what is told of a flaky test; of two words about one cause the later holds, whichever comes first."""
    data = event.data
    this = {"project": data.context.project, "suite": data.context.suite, "cause": data.cause}
    row = {
        "node_id": data.subject,
        "flaky": isinstance(data, RegressionDetected),
        "told_at": event.time.timestamp(),
    }
    statement = insert(state.connection, FLAKY).values(**this, **row)
    state.execute(
        statement.on_conflict_do_update(
            index_elements=[FLAKY.c[name] for name in this], set_=row, where=FLAKY.c.told_at <= row["told_at"]
        )
    )


def among(effects: Scope, context: RunContext, node_ids: Collection[str]) -> set[str]:
    """Return those of the tests of a run's suite that are known to be flaky."""
    asked = sorted(node_ids)
    found: set[str] = set()
    with effects.transaction() as state:
        for start in range(0, len(asked), _ASKED):
            query = select(FLAKY.c.node_id).where(
                FLAKY.c.project == context.project,
                FLAKY.c.suite == context.suite,
                FLAKY.c.flaky,
                FLAKY.c.node_id.in_(asked[start : start + _ASKED]),
            )
            found.update(state.execute(query).scalars())
    return found
