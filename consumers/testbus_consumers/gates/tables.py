"""Tables of `gates`: what the rules said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import JSON, Column, Double, Integer, MetaData, PrimaryKeyConstraint, String, Table, select

from testbus_consumers.store.run_key import run_columns
from testbus_schemas.identity import is_short_for

if TYPE_CHECKING:
    from sqlalchemy import Connection


#: Everything that `gates` keeps.
METADATA = MetaData()

#: The latest verdict on each run, as the data of its `gate.evaluated`.
VERDICT = Table(
    "verdict",
    METADATA,
    *run_columns(),
    Column("revision", Integer, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("evaluation", JSON, nullable=False),
    Column("evaluated_at", Double, nullable=False, index=True),
    PrimaryKeyConstraint("project", "run"),
)


#: Whose state the verdicts are in.
GATES: Final = "gates"

#: Runs that are looked at where a beginning of an id is asked for.
_LIKE: Final = 20


def evaluation(connection: Connection, project: str, run: str) -> tuple[str, dict[str, Any]] | None:
    """Return the run that an id means in a project, and the data of its latest `gate.evaluated`; None without one.

    A beginning of an id stands for it where it can mean no other run.
    """
    query = select(VERDICT.c.run, VERDICT.c.evaluation).where(VERDICT.c.project == project)
    found = connection.execute(query.where(VERDICT.c.run == run)).one_or_none()
    if found is None:
        like = connection.execute(query.where(VERDICT.c.run.startswith(run, autoescape=True)).limit(_LIKE)).all()
        matches = [row for row in like if is_short_for(run, row.run)]
        found = matches[0] if len(matches) == 1 and len(like) < _LIKE else None
    return None if found is None else (found.run, found.evaluation)
