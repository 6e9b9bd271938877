"""The history of a suite: its runs in their order, and how each test ended in them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import select

from testbus_consumers.regressions.tables import PRODUCER, RESULT, RUN
from testbus_schemas import RunReference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from testbus_consumers.runtime import State

#: Tests that one query asks for.
_ASKED: Final = 500


class Case(NamedTuple):
    """One test of one variant."""

    #: Variant.
    variant: str
    #: Node id.
    node_id: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A run that was decided."""

    #: Its id.
    id: str
    #: Branch, or the pull request; empty without either.
    branch: str
    #: Whether others are compared with it.
    is_base: bool
    #: Commit under test.
    commit: str | None
    #: Branch or commit that it is to be compared with.
    base: str | None
    #: When it started, in seconds since the epoch.
    started_at: float
    #: Whether nothing of it is missing.
    complete: bool
    #: Producers whose results no longer count.
    superseded: frozenset[str]
    #: Variants that were tested.
    variants: frozenset[str]
    #: Variants and shards that measured coverage; None when none did.
    measured: tuple[str, ...] | None
    #: Component → what ran, and what could have.
    covered: Mapping[str, tuple[int, int]]
    #: Its context as JSON.
    context: Mapping[str, Any]

    @property
    def order(self) -> tuple[float, str]:
        """Return what runs are ordered by: their start, whenever they arrive."""
        return self.started_at, self.id

    @property
    def reference(self) -> RunReference:
        """Return what people know it by."""
        return RunReference(
            run=self.id,
            number=self.context.get("run_number"),
            commit=self.commit,
            build_url=self.context.get("build_url"),
            started_at=datetime.fromtimestamp(self.started_at, UTC),
        )


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a test ended in one run."""

    #: Whether it needs a person; None when it says nothing about the code.
    bad: bool | None
    #: Identity of its failure's cause.
    fingerprint: str = ""
    #: What the failure said.
    said: str = ""


#: Run id → test → how it ended.
Endings = dict[str, dict[Case, Ended]]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of a test, also one of a producer that was replaced."""

    #: Run.
    run: str
    #: Producer.
    producer: str
    #: The test.
    case: Case
    #: How it ended.
    ended: Ended


class History:
    """What is kept of one suite."""

    def __init__(self, state: State[Any], project: str, suite: str) -> None:
        """Read the suite's runs."""
        self._state = state
        #: Project.
        self.project = project
        #: Suite.
        self.suite = suite
        query = select(RUN).where(RUN.c.project == project, RUN.c.suite == suite)
        #: Runs by their order.
        self.runs: tuple[Run, ...] = tuple(sorted(map(_run, state.execute(query)), key=lambda run: run.order))

    def line(self, branch: str) -> tuple[Run, ...]:
        """Return the complete runs of a branch, in their order: the only ones that are compared."""
        return tuple(run for run in self.runs if run.branch == branch and run.complete)

    def attempts(self, runs: Collection[Run], cases: Iterable[Case] | None = None) -> Iterable[Attempt]:
        """Yield every attempt in these runs: of these tests, or without any, the bad ones of all tests."""
        ids = [run.id for run in runs]
        query = select(RESULT).where(RESULT.c.run.in_(ids))
        if cases is None:
            yield from self._read(query.where(RESULT.c.bad.is_(True)))
            return
        wanted = set(cases)
        node_ids = sorted({case.node_id for case in wanted})
        for start in range(0, len(node_ids), _ASKED):
            chunk = query.where(RESULT.c.node_id.in_(node_ids[start : start + _ASKED]))
            yield from (attempt for attempt in self._read(chunk) if attempt.case in wanted)

    def failing(self, runs: Collection[Run]) -> set[Case]:
        """Return the tests that had a bad attempt in any of these runs."""
        return {attempt.case for attempt in self.attempts(runs)}

    def endings(self, runs: Collection[Run], cases: Iterable[Case]) -> Endings:
        """Return how tests ended: by the last attempt of each producer that counts, the bad one of several."""
        superseded = {run.id: run.superseded for run in runs}
        last: dict[tuple[str, str, Case], Ended] = {}
        for attempt in self.attempts(runs, cases):
            if attempt.producer not in superseded[attempt.run]:
                last[attempt.run, attempt.producer, attempt.case] = attempt.ended
        found: Endings = defaultdict(dict)
        for (run, _, case), ended in last.items():
            before = found[run].get(case)
            if before is None or _weight(ended) > _weight(before):
                found[run][case] = ended
        return found

    def _read(self, query: Any) -> Iterable[Attempt]:
        order = (RESULT.c.run, RESULT.c.producer, RESULT.c.node_id, RESULT.c.attempt)
        for row in self._state.execute(query.order_by(*order)):
            variant = self._variants.get((row.run, row.producer))
            if variant is not None:
                ended = Ended(bad=row.bad, fingerprint=row.fingerprint, said=row.said)
                case = Case(variant, row.node_id)
                yield Attempt(run=row.run, producer=row.producer, case=case, ended=ended)

    @cached_property
    def _variants(self) -> dict[tuple[str, str], str]:
        ids = [run.id for run in self.runs]
        ours = (PRODUCER.c.run.in_(ids), PRODUCER.c.project == self.project)
        rows = self._state.execute(select(PRODUCER).where(*ours))
        return {(row.run, row.producer): row.variant for row in rows}


def _weight(ended: Ended) -> int:
    return 0 if ended.bad is None else 1 + ended.bad


def _run(row: Any) -> Run:
    return Run(
        id=row.run,
        branch=row.branch,
        is_base=row.is_base,
        commit=row.commit_id,
        base=row.base,
        started_at=row.started_at,
        complete=row.complete,
        superseded=frozenset(row.superseded),
        variants=frozenset(row.variants),
        measured=None if row.measured is None else tuple(row.measured),
        covered={name: (ran, could) for name, (ran, could) in row.covered.items()},
        context=row.context,
    )
