"""The history of a suite: its runs in their order, and how each test ended in them."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import delete, select

from testbus_consumers.components import TOTAL, Placing
from testbus_consumers.filters import matches_name
from testbus_consumers.records.coverage import covered
from testbus_consumers.records.parts import codes_of, names_of, outcome_of
from testbus_consumers.regressions.tables import ALERT, ATTEMPT, ENDS, EVIDENCE, NAMES, RUN, SUITE
from testbus_consumers.store.engine import insert
from testbus_consumers.wording import text
from testbus_schemas import Outcome, RunReference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from testbus_consumers.regressions.settings import RegressionsSettings
    from testbus_consumers.runtime import RunCompletion, State
    from testbus_schemas import RunContext


#: Complete runs without any word of a failing test after which it counts as removed.
REMOVED_AFTER: Final = 3

#: Tests that one query asks for.
_ASKED: Final = 500

#: Outcomes that say nothing about the code.
_SILENT: Final = frozenset({Outcome.SKIPPED, Outcome.NOT_RUN, Outcome.NOT_REPORTED})


class Case(NamedTuple):
    """One test of one variant."""

    variant: str
    node_id: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A run that was decided."""

    id: str
    #: Branch, or the pull request; empty without either.
    branch: str
    #: Whether others are compared with it.
    is_base: bool
    #: Commit under test.
    commit: str | None
    #: Branch or commit that it is to be compared with.
    base: str | None
    #: What it is ordered by: when it started, in seconds since the epoch.
    ordered_at: float
    #: Whether nothing of it is missing.
    complete: bool
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
        return self.ordered_at, self.id

    @property
    def reference(self) -> RunReference:
        """Return what people know it by."""
        return RunReference(
            run=self.id,
            number=self.context.get("run_number"),
            commit=self.commit,
            build_url=self.context.get("build_url"),
            started_at=datetime.fromtimestamp(self.ordered_at, UTC),
        )


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a test ended in one run."""

    #: Whether it needs a person; None when it says nothing about the code.
    bad: bool | None
    #: Identity of its failure's cause.
    fingerprint: str = ""
    #: What the failure said.
    failure_text: str = ""


#: How a test ended of which no more is known, by its mark: silent, good, bad.
_ENDED: Final = (Ended(bad=None), Ended(bad=False), Ended(bad=True))
_BAD: Final = 2

#: Run id → test → how it ended.
Endings = dict[str, dict[Case, Ended]]


@dataclass(frozen=True, kw_only=True)
class PastAttempt:
    """One attempt of a test, also one of a producer that was replaced."""

    run: str
    #: The row of its producer in ENDS.
    producer: Any
    #: The test.
    case: Case
    #: How it ended.
    ended: Ended


class History:
    """What is kept of one suite."""

    def __init__(self, state: State[Any], project: str, suite: str) -> None:
        """Read the suite's runs."""
        self._state = state
        self._names: dict[str, Mapping[str, int]] = {}
        self._ends: dict[str, list[Any]] = {}
        self._marked: dict[tuple[str, str], bytes] = {}
        self.project = project
        self.suite = suite
        query = select(RUN).where(RUN.c.project == project, RUN.c.suite == suite)
        #: Runs by their order.
        self.runs: tuple[Run, ...] = tuple(sorted(map(_run, state.execute(query)), key=lambda run: run.order))

    def line(self, branch: str) -> tuple[Run, ...]:
        """Return the complete runs of a branch, in their order: the only ones that are compared."""
        return tuple(run for run in self.runs if run.branch == branch and run.complete)

    def attempts(self, runs: Collection[Run], cases: Iterable[Case] | None = None) -> Iterator[PastAttempt]:
        """Yield every attempt in these runs: of these tests, or without any, the bad ones of all tests."""
        producers = {(one.run, one.producer): one for one in self._producers(runs)}
        if cases is None:
            yield from self._kept(runs, producers, ATTEMPT.c.bad.is_(True))
            return
        wanted: dict[str, set[str]] = defaultdict(set)
        for case in cases:
            wanted[case.variant].add(case.node_id)
        node_ids = sorted({node_id for some in wanted.values() for node_id in some})
        rows: dict[tuple[str, str], set[str]] = defaultdict(set)
        for attempt in self._kept_of(runs, producers, node_ids):
            if attempt.case.node_id in wanted[attempt.case.variant]:
                rows[attempt.run, attempt.producer.producer].add(attempt.case.node_id)
                yield attempt
        # A test that did not fail and was not repeated has one attempt, of which nothing else is kept.
        for place, one in producers.items():
            asked = self._places(one.names).keys() & wanted[one.variant] - rows[place]
            if asked:
                places, marks = self._places(one.names), self._marks(one)
                for node_id in sorted(asked):
                    ended = _ENDED[marks[places[node_id]]]
                    yield PastAttempt(run=one.run, producer=one, case=Case(one.variant, node_id), ended=ended)

    def bad(self, run: Run) -> set[Case]:
        """Return the tests that ended badly in a run."""
        found = set()
        for row in self._counting([run]):
            names = list(self._places(row.names))
            found |= {Case(row.variant, names[at]) for at, mark in enumerate(self._marks(row)) if mark == _BAD}
        return found

    def quiet(self, line: Sequence[Run]) -> set[Case]:
        """Return the tests that the latest run of a line says nothing about, and that a run shortly before it had."""
        heard: dict[str, set[str]] = defaultdict(set)
        for row in self._counting(line[-1:]):
            heard[row.variant] |= _heard(self._places(row.names), self._marks(row))
        found = set()
        for variant in {variant for run in line for variant in run.variants}:
            recent = [run for run in line if variant in run.variants][-REMOVED_AFTER:]
            there: set[str] = set()
            for digest in {row.names for row in self._counting(recent) if row.variant == variant}:
                there |= self._places(digest).keys()
            found |= {Case(variant, node_id) for node_id in there - heard[variant]}
        return found

    def endings(self, runs: Collection[Run], cases: Iterable[Case]) -> Endings:
        """Return how tests ended: by the last attempt of each producer that counts, the bad one of several.

        What a failure said is not among it: `described` adds that.
        """
        wanted: dict[str, list[str]] = defaultdict(list)
        for case in set(cases):
            wanted[case.variant].append(case.node_id)
        found: Endings = defaultdict(dict)
        placed: dict[tuple[str, str], list[tuple[Case, int]]] = {}
        for row in self._counting(runs):
            if (of := (row.variant, row.names)) not in placed:
                places = self._places(row.names)
                placed[of] = [(Case(row.variant, name), places[name]) for name in wanted[row.variant] if name in places]
            marks, of_run = self._marks(row), found[row.run]
            for case, at in placed[of]:
                ended = _ENDED[marks[at]]
                before = of_run.get(case)
                if before is None or _weight(ended) > _weight(before):
                    of_run[case] = ended
        return found

    def described(self, failed: Mapping[Case, Run]) -> dict[Case, Ended]:
        """Return how these tests failed in these runs, with the cause and what it said."""
        by_run: dict[Run, set[Case]] = defaultdict(set)
        for case, run in failed.items():
            by_run[run].add(case)
        found: dict[Case, Ended] = {}
        for run, cases in by_run.items():
            producers = {(one.run, one.producer): one for one in self._counting([run])}
            last: dict[tuple[str, Case], Ended] = {}
            for attempt in self._kept_of([run], producers, sorted({case.node_id for case in cases})):
                last[attempt.producer.producer, attempt.case] = attempt.ended
            found |= {case: ended for (_, case), ended in last.items() if ended.bad and case in cases}
        return found

    def _counting(self, runs: Iterable[Run]) -> Iterator[Any]:
        """Yield the rows of the producers that count."""
        return (row for row in self._producers(runs) if row.counts)

    def _marks(self, row: Any) -> bytes:
        """Return how the tests of a row of ENDS ended, a byte each: silent, good or bad."""
        key = (row.run, row.producer)
        if key not in self._marked:
            self._marked[key] = codes_of(row.content).translate(_MARKS)
        return self._marked[key]

    def _kept_of(
        self, runs: Collection[Run], producers: Mapping[tuple[str, str], Any], node_ids: Sequence[str]
    ) -> Iterator[PastAttempt]:
        """Yield the kept attempts of tests in these runs, of so many tests at a time as one query takes."""
        for start in range(0, len(node_ids), _ASKED):
            yield from self._kept(runs, producers, ATTEMPT.c.node_id.in_(node_ids[start : start + _ASKED]))

    def _kept(self, runs: Iterable[Run], producers: Mapping[tuple[str, str], Any], which: Any) -> Iterator[PastAttempt]:
        query = select(ATTEMPT).where(ATTEMPT.c.project == self.project, ATTEMPT.c.run.in_([run.id for run in runs]))
        order = (ATTEMPT.c.run, ATTEMPT.c.producer, ATTEMPT.c.node_id, ATTEMPT.c.attempt)
        for row in self._state.execute(query.where(which).order_by(*order)):
            producer = producers.get((row.run, row.producer))
            if producer is None:
                continue
            ended = Ended(bad=row.bad, fingerprint=row.fingerprint, failure_text=row.failure_text)
            yield PastAttempt(run=row.run, producer=producer, case=Case(producer.variant, row.node_id), ended=ended)

    def _producers(self, runs: Iterable[Run]) -> Sequence[Any]:
        """Return the rows of ENDS of these runs; each is read once."""
        ids = sorted(run.id for run in runs)
        if new := [run for run in ids if run not in self._ends]:
            self._ends |= {run: [] for run in new}
            ours = (ENDS.c.project == self.project, ENDS.c.run.in_(new))
            for row in self._state.execute(select(ENDS).where(*ours).order_by(ENDS.c.run, ENDS.c.producer)):
                self._ends[row.run].append(row)
        return [row for run in ids for row in self._ends[run]]

    def _places(self, digest: str) -> Mapping[str, int]:
        """Return the place of each test in a list of names."""
        if digest not in self._names:
            this = (NAMES.c.project == self.project, NAMES.c.suite == self.suite, NAMES.c.digest == digest)
            content = self._state.execute(select(NAMES.c.content).where(*this)).scalar_one()
            self._names[digest] = {name: place for place, name in enumerate(names_of(content))}
        return self._names[digest]


def is_bad(outcome: Outcome) -> bool | None:
    """Tell whether an attempt that ended so needs a person; None when it says nothing about the code."""
    return None if outcome in _SILENT else outcome.bad


def _weight(ended: Ended) -> int:
    return 0 if ended.bad is None else 1 + ended.bad


#: Code of an outcome → mark.
_MARKS: Final = bytes(_weight(Ended(bad=is_bad(outcome_of(code)))) for code in range(256))


def _heard(names: Iterable[str], marks: bytes) -> set[str]:
    """Return the tests of a list of names that said something about the code."""
    return {name for name, mark in zip(names, marks, strict=True) if mark}


def _run(row: Any) -> Run:
    return Run(
        id=row.run,
        branch=row.branch,
        is_base=row.is_base,
        commit=row.commit_id,
        base=row.base,
        ordered_at=row.ordered_at,
        complete=row.complete,
        variants=frozenset(row.variants),
        measured=None if row.measured is None else tuple(row.measured),
        covered={name: (ran, could) for name, (ran, could) in row.covered.items()},
        context=row.context,
    )


#: Characters of the message of a failure that are kept.
_SAID_CHARS: Final = 200


def lock_suite(completion: RunCompletion, state: State[Any]) -> None:
    """Hold the suite to the end of the transaction: its runs are compared one after the other."""
    row = {
        "project": completion.context.project,
        "suite": completion.context.suite,
        "compared_at": state.now.timestamp(),
    }
    statement = insert(state.connection, SUITE).values(**row)
    keys = [SUITE.c.project, SUITE.c.suite]
    state.execute(statement.on_conflict_do_update(index_elements=keys, set_={"compared_at": row["compared_at"]}))


def enter(completion: RunCompletion, state: State[RegressionsSettings]) -> None:
    """Write down a run, or what a later decision made of it."""
    context, record = completion.context, completion.record
    row = {
        **completion.key.values,
        "suite": context.suite,
        "branch": branch_of(context, state.settings),
        "is_base": is_base(context, state.settings),
        "commit_id": context.commit,
        "base": context.base,
        "ordered_at": record.ordered_at.timestamp(),
        "complete": completion.complete,
        "variants": sorted({one.variant for one in record.producers if one.counts}),
        "measured": sorted({f"{one.variant} {one.shard}" for one in record.measured()}) or None,
        "covered": _covered(completion, state.settings),
        "context": context.model_dump(mode="json", exclude_defaults=True),
    }
    statement = insert(state.connection, RUN).values(**row)
    state.execute(statement.on_conflict_do_update(index_elements=[RUN.c.project, RUN.c.run], set_=row))
    for table in (ENDS, ATTEMPT):
        state.execute(delete(table).where(*completion.key.rows(table)))
    _enter_tests(completion, state)


def _enter_tests(completion: RunCompletion, state: State[RegressionsSettings]) -> None:
    """Write down how tests ended: also in producers that were replaced, which tell of flakiness.

    A job that is stopped takes the tests down that it was running: that shows nothing, also not that they are flaky.
    """
    of_run = completion.key.values
    of_suite = {"project": completion.context.project, "suite": completion.context.suite}
    names, ends = {}, []
    for producer, name_column, end_column in completion.record.names(replaced=True):
        if producer.id not in completion.stopped:
            digest = hashlib.sha256(name_column).hexdigest()
            names[digest] = of_suite | {"digest": digest, "content": name_column}
            ends.append(
                of_run
                | {
                    "producer": producer.id,
                    "suite": completion.context.suite,
                    "variant": producer.variant,
                    "counts": producer.counts,
                    "names": digest,
                    "content": end_column,
                }
            )
    attempts = [
        of_run
        | {
            "producer": one.producer,
            "node_id": one.node_id,
            "attempt": one.attempt,
            "bad": is_bad(one.outcome),
            "fingerprint": one.fingerprint if one.outcome.bad else "",
            "failure_text": text.failure_text(one.type, one.line, _SAID_CHARS) if one.outcome.bad else "",
        }
        for one in completion.record.attempts(replaced=True)
        if one.attempt and one.producer not in completion.stopped
    ]
    connection = state.connection
    if ends:
        connection.execute(insert(connection, NAMES).on_conflict_do_nothing(), list(names.values()))
        connection.execute(ENDS.insert(), ends)
    if attempts:
        connection.execute(ATTEMPT.insert(), attempts)


def branch_of(context: RunContext, settings: RegressionsSettings) -> str:
    """Return the line of runs that a run belongs to: its branch, else its pull request, else the nameless one.

    A fork's pull request may well come from a branch that is called like ours.
    """
    if context.pull_request and (not context.branch or matches_name(context.branch, settings.base_branches)):
        return f"#{context.pull_request}"
    return context.branch or ""


def is_base(context: RunContext, settings: RegressionsSettings) -> bool:
    """Tell whether other runs are compared with this one; runs that name no branch are compared with each other."""
    if context.pull_request:
        return False
    return not context.branch or matches_name(context.branch, settings.base_branches)


def delete_old(completion: RunCompletion, state: State[RegressionsSettings]) -> None:
    """Delete what is out of reach: on each base branch, and of all other branches together, all but the newest runs."""
    project, suite = completion.context.project, completion.context.suite
    ours = (RUN.c.project == project, RUN.c.suite == suite)
    newest = select(RUN.c.run, RUN.c.branch, RUN.c.is_base).where(*ours)
    runs = state.execute(newest.order_by(RUN.c.ordered_at.desc(), RUN.c.run.desc())).all()
    seen: Counter[str | None] = Counter()
    gone: list[Any] = []
    kept: list[Any] = []
    for run in runs:
        line = run.branch if run.is_base else None
        seen[line] += 1
        (gone if seen[line] > state.settings.history else kept).append(run)
    ids = [run.run for run in gone]
    for table in (ATTEMPT, ENDS, EVIDENCE, RUN):
        state.execute(delete(table).where(table.c.project == project, table.c.run.in_(ids)))
    # A run that was decided again may have other tests, too.
    used = select(ENDS.c.names).where(ENDS.c.project == project, ENDS.c.suite == suite)
    of_suite = (NAMES.c.project == project, NAMES.c.suite == suite)
    state.execute(delete(NAMES).where(*of_suite, NAMES.c.digest.not_in(used)))
    if gone:
        of_suite_alerts = (ALERT.c.project == project, ALERT.c.suite == suite)
        over = ALERT.c.is_open.is_(False) & ALERT.c.since.not_in([run.run for run in kept])
        branches = {"", *(run.branch for run in kept)}
        state.execute(delete(ALERT).where(*of_suite_alerts, over | ALERT.c.branch.not_in(sorted(branches))))


def _covered(completion: RunCompletion, settings: RegressionsSettings) -> dict[str, tuple[int, int]]:
    """Return what ran and could have of each component that has a file; without components of all files together."""
    files = completion.record.coverage(settings.coverage.rules)
    placing = Placing(settings.components, completion.context.component)
    by_component = placing.by_file(files) if placing else {TOTAL: files} if files else {}
    return {name: covered(found).total for name, found in by_component.items() if name is not None}
