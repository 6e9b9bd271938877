"""Which verdicts there are: what others may ask of `gates` without knowing its tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, tuple_

from testbus_consumers.gates.tables import VERDICT
from testbus_consumers.store.run_key import RunKey

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The latest verdict on a run, in short."""

    #: passed, failed or incomplete.
    verdict: str
    #: The decision of `runs` that it stands on.
    revision: int
    #: Tests by outcome.
    counts: Mapping[str, int]
    #: Tests in all.
    total: int


def judged(connection: Connection, runs: Collection[RunKey]) -> dict[RunKey, Judged]:
    """Return the verdicts on runs; a run without one is not in it."""
    query = select(VERDICT.c.project, VERDICT.c.run, VERDICT.c.verdict, VERDICT.c.revision, VERDICT.c.evaluation)
    return {
        RunKey.of(row): Judged(
            verdict=row.verdict,
            revision=row.revision,
            counts=row.evaluation["counts"],
            total=row.evaluation["total"],
        )
        for row in connection.execute(query.where(tuple_(VERDICT.c.project, VERDICT.c.run).in_(sorted(runs))))
    }
