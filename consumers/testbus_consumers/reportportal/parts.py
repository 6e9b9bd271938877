"""What is to be told of a launch: kept by part, so that whoever tells one of them tells all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from testbus_consumers.reportportal.tables import PART
from testbus_consumers.store.engine import insert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_consumers.reportportal.identities import Identities
    from testbus_consumers.reportportal.launch_payloads import Pair
    from testbus_consumers.runtime import State

#: How the names of parts that tell of a variant begin.
VARIANT = "variant:"

#: Name of the part that tells whether all of a run is there.
CLOSING = "closing"

#: Name of the part that tells that tests failed which are known to be flaky.
FLAKY = "flaky"

#: Name of the part that tells the verdict.
VERDICT = "verdict"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part."""

    #: `variant:<name>`, CLOSING, FLAKY or VERDICT.
    name: str
    #: The decision about the run that it stands on; 0 for variants.
    revision: int
    #: Attributes.
    pairs: tuple[Pair, ...]
    #: Paragraph for the description; empty when there is none.
    text: str


def keep(state: State[Any], ids: Identities, part: Part) -> None:
    """Keep a part, unless one that stands on a later decision is there."""
    row = {
        "revision": part.revision,
        "attributes": [list(pair) for pair in part.pairs],
        "description": " ".join(part.text.split()),
    }
    statement = insert(state.connection, PART).values(project=ids.project, run=ids.run, part=part.name, **row)
    statement = statement.on_conflict_do_update(
        index_elements=[PART.c.project, PART.c.run, PART.c.part], set_=row, where=PART.c.revision <= part.revision
    )
    state.execute(statement)


def closed(state: State[Any], ids: Identities) -> bool:
    """Tell whether a decision about the run is kept: its suites are finished, or are about to be."""
    ours = (PART.c.project == ids.project, PART.c.run == ids.run, PART.c.part == CLOSING)
    return state.execute(select(PART.c.revision).where(*ours)).scalar() is not None


def of_run(state: State[Any], ids: Identities) -> Sequence[Part]:
    """Return all parts of a run, by name."""
    query = select(PART).where(PART.c.project == ids.project, PART.c.run == ids.run).order_by(PART.c.part)
    return [
        Part(
            name=row.part,
            revision=row.revision,
            pairs=tuple((key, value) for key, value in row.attributes),
            text=row.description,
        )
        for row in state.execute(query)
    ]
