"""One producer's results added up: the one rule how a test ended, and the columns in which that is kept."""

from __future__ import annotations

import hashlib
import sys
import zlib
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from testbus_consumers.records.coverage import MeasuredFile, unite
from testbus_consumers.records.facts import CODES, OUTCOMES, pack, unpack
from testbus_schemas import Benchmark, Metric, Outcome
from testbus_schemas.results import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from testbus_consumers.records.facts import Facts

T = TypeVar("T")

#: Version of the columns. A reader takes what it knows and anything lower.
FORMAT: Final = 1

#: Causes of one producer whose texts are kept: of more, those of the most tests.
MAX_TEXTS: Final = 200

#: Failing attempts of one producer whose frames are kept.
MAX_FRAMED: Final = 2000

#: Highest attempt that fits into its byte.
MAX_ATTEMPT: Final = 255

_UNKNOWN: Final = CODES[Outcome.UNKNOWN]

#: Codes of outcomes that need a person.
BAD: Final = frozenset(code for outcome, code in CODES.items() if outcome.bad)


class _Results:
    """What the facts of one producer say, each result by its place among all: as lists, for they are many."""

    def __init__(self, facts: Iterable[tuple[int, Facts]]) -> None:
        """Take the facts of each event, by its number."""
        #: Node id, attempt, outcome's code and seconds of each result, and the number of its event.
        self.names: list[str] = []
        self.attempts: list[int] = []
        self.codes: list[int] = []
        self.seconds: list[float] = []
        self._sequences: list[int] = []
        self._indices: list[int] = []
        #: File, line, worker and start of each result, in these columns; None where nobody recorded any.
        self.places: tuple[list[Any], ...] | None = None
        #: Node ids of what was collected.
        self.collected: set[str] = set()
        #: Place → fingerprint, type, first line of the message.
        self.failures: dict[int, tuple[str, str, str]] = {}
        #: Fingerprint → smallest node id and attempt with a text, its place, message and text.
        self.causes: dict[str, tuple[str, int, int, str, str]] = {}
        #: Place → frames of its failure.
        self.frames: dict[int, list[Any]] = {}
        #: Markers with the places that have them.
        self.marks: list[tuple[list[Any], list[int]]] = []
        #: What was measured.
        self.coverage: list[MeasuredFile] = []
        #: What was attached.
        self.artifacts: list[Any] = []
        #: Highest memory of each result, in KiB; None where it was not looked at.
        self.memory: list[int | None] = []
        #: What the run changes, and where it ran; None where nobody recorded it.
        self.change: dict[str, Any] | None = None
        self.environment: dict[str, Any] | None = None
        #: Metrics and benchmarks by test and name.
        self.metrics: dict[tuple[str, str], dict[str, Any]] = {}
        self.benchmarks: dict[tuple[str, str], dict[str, Any]] = {}
        #: Whether what it left out was left out on purpose.
        self.left_out = False
        for sequence, found in sorted(facts, key=itemgetter(0)):
            self._add(sequence, found)
        #: Test → attempt → the place of the first word on it; of tests with any but one first attempt.
        self.repeated = self._repeated()
        #: Test → the place of its last attempt.
        self.last = dict(zip(self.names, range(len(self.names)), strict=True))
        self.last |= {name: tried[max(tried)] for name, tried in self.repeated.items()}

    def tried(self, name: str) -> Mapping[int, int]:
        """Return the attempts of a test, each with its place; empty for one without a result."""
        return self.repeated.get(name) or ({1: self.last[name]} if name in self.last else {})

    def counts(self, place: int) -> bool:
        """Tell whether a result is the first word on its attempt."""
        tried = self.repeated.get(self.names[place])
        return tried is None or tried[self.attempts[place]] == place

    def event_of(self, place: int) -> tuple[int, int]:
        """Return the number of a result's event, and its place there."""
        return self._sequences[place], self._indices[place]

    def _add(self, sequence: int, facts: Facts) -> None:
        begin = len(self.names)
        names = facts.get("n", [])
        self.names += names
        self.attempts += facts.get("a", [])
        self.codes += [code if code < len(OUTCOMES) else _UNKNOWN for code in facts.get("o", [])]
        self.seconds += facts.get("d", [])
        self._sequences += [sequence] * len(names)
        self._indices += range(len(names))
        self.collected.update(facts.get("k", ()))
        if "p" in facts:
            self._add_places(begin, *facts["p"])
        self.failures |= {begin + index: (cause, kind, line) for index, cause, kind, line in facts.get("b", ())}
        self.frames |= {begin + int(index): found for index, found in facts.get("f", {}).items()}
        self.marks += [(mark, [begin + index for index in indices]) for mark, indices in facts.get("m", ())]
        for cause, (index, message, text) in facts.get("c", {}).items():
            place = begin + index
            example = (self.names[place], self.attempts[place], place, message, text)
            self.causes[cause] = min(self.causes.get(cause, example), example)
        self.coverage += map(MeasuredFile.of_row, facts.get("v", ()))
        self.left_out = facts.get("e", self.left_out)
        self._add_measurements(begin, facts)
        if "x" in facts:
            self.artifacts.append([sequence, facts["x"]])

    @property
    def surroundings(self) -> dict[str, Any]:
        """Return the columns of what was recorded beside the results."""
        return {
            "change": self.change,
            "environment": self.environment,
            "metrics": [self.metrics[key] for key in sorted(self.metrics)],
            "benchmarks": [self.benchmarks[key] for key in sorted(self.benchmarks)],
        }

    def _add_measurements(self, begin: int, facts: Facts) -> None:
        if "y" in facts:
            # Earlier events may have recorded nothing of it.
            self.memory.extend([None] * (begin - len(self.memory)))
            self.memory.extend(facts["y"])
        self.change = self.change or facts.get("h")
        self.environment = self.environment or facts.get("w")
        self.metrics |= {(one.get("node_id", ""), one["name"]): one for one in facts.get("q", ())}
        self.benchmarks |= {(one.get("node_id", ""), one["name"]): one for one in facts.get("g", ())}

    def _add_places(self, begin: int, files: list[str | None], numbers: list[int], *others: list[Any]) -> None:
        if self.places is None:
            self.places = ([], [], [], [])
        for column, values in zip(self.places, ([files[number] for number in numbers], *others), strict=True):
            # Earlier events may have recorded nothing of it.
            column.extend([None] * (begin - len(column)))
            column.extend(values)

    def _repeated(self) -> dict[str, dict[int, int]]:
        names = self.names
        odd = {name for name, count in Counter(names).items() if count > 1}
        odd |= {name for name, attempt in zip(names, self.attempts, strict=True) if attempt != 1}
        found: dict[str, dict[int, int]] = {name: {} for name in odd}
        for place, name in enumerate(names) if odd else ():
            if name in odd:
                found[name].setdefault(self.attempts[place], place)
        return found


def part_of(facts: Iterable[tuple[int, Facts]]) -> dict[str, bytes]:
    """Return the columns of one producer, from its events' numbers and facts, in any order.

    The last attempt of a test says how it ended. One that was collected and has no result was left out on purpose where
    its producer said goodbye (-x, Ctrl-C); otherwise nobody knows what became of it.
    """
    results = _Results(facts)
    silent = CODES[Outcome.NOT_RUN if results.left_out else Outcome.NOT_REPORTED]
    names = sorted(results.last.keys() | results.collected)
    # A test without a result is at the place behind the last one.
    nowhere = len(results.names)
    where = [results.last.get(name, nowhere) for name in names]
    codes = _taken([*results.codes, silent], where)
    attempts = _taken([*results.attempts, 0], where)
    seconds = _taken([*results.seconds, 0.0], where)
    at = dict(zip(names, range(len(names)), strict=True))
    numbers = dict(zip(where, range(len(where)), strict=True))
    coverage = unite(results.coverage)
    columns = {
        "head": pack(
            {
                "v": FORMAT,
                "counts": {OUTCOMES[code].value: count for code, count in sorted(Counter(codes).items())},
                "total": len(names),
                "tests_s": round(sum(seconds), 6),
                "digest": _digest(names, codes, _last_causes(results, numbers), coverage),
                "collected": len(results.collected),
            }
        ),
        "names": zlib.compress("\0".join(names).encode("utf-8", "replace"), 1),
        "ends": zlib.compress(bytes(codes) + bytes(min(attempt, MAX_ATTEMPT) for attempt in attempts), 1),
        "times": zlib.compress(_floats(seconds), 1),
    }
    rows = {
        "attempts": _attempts(results, names, codes),
        "causes": _causes(results, at),
        "places": _places(results, where),
        "marks": _marks(results, numbers),
        "frames": _frames(results, at),
        "coverage": [file.row for file in coverage],
        "artifacts": results.artifacts,
        "memory": _memory(results, where),
        **results.surroundings,
    }
    return columns | {name: pack(found) for name, found in rows.items() if found}


def _taken(column: list[T], where: list[int]) -> list[T]:
    return [column[place] for place in where]


def _last_causes(results: _Results, numbers: Mapping[int, int]) -> dict[int, str]:
    """Return the fingerprint of each test whose last attempt has a failure, by the test's number."""
    return {numbers[place]: failure[0] for place, failure in results.failures.items() if place in numbers}


def _attempts(results: _Results, names: list[str], codes: list[int]) -> list[list[Any]]:
    """Return every attempt of each test that failed or was repeated; those that passed too, which tell of flakiness.

    A test without a result has one row, of attempt 0.
    """
    rows: list[list[Any]] = []
    for number, (name, code) in enumerate(zip(names, codes, strict=True)):
        if code not in BAD and name not in results.repeated and name in results.last:
            continue
        tried = results.tried(name)
        if not tried:
            rows.append([number, 0, code, 0.0, "", "", "", 0, 0])
        for attempt, place in sorted(tried.items()):
            failure = results.failures.get(place, ("", "", ""))
            event = results.event_of(place)
            rows.append([number, attempt, results.codes[place], results.seconds[place], *failure, *event])
    return rows


def _causes(results: _Results, at: Mapping[str, int]) -> dict[str, list[Any]]:
    tests: dict[str, set[str]] = defaultdict(set)
    for place, (cause, _, _) in results.failures.items():
        if results.counts(place):
            tests[cause].add(results.names[place])
    by_weight = sorted(results.causes, key=lambda cause: (-len(tests[cause]), cause))
    found = {}
    for rank, cause in enumerate(by_weight):
        name, attempt, place, message, text = results.causes[cause]
        kept = text if rank < MAX_TEXTS else ""
        found[cause] = [at[name], attempt, *results.event_of(place), results.failures[place][1], message, kept]
    return found


def _places(results: _Results, where: list[int]) -> Mapping[str, Any]:
    """Return file, line, worker and start of each test, as columns; files and workers by their number in a list."""
    if results.places is None:
        return {}
    lacking = len(results.names) + 1
    columns = [_taken(column + [None] * (lacking - len(column)), where) for column in results.places]
    files, lines, workers, starts = columns
    known_files, known_workers = (sorted({name for name in column if name is not None}) for column in (files, workers))
    file_at, worker_at = ({name: n for n, name in enumerate(known)} for known in (known_files, known_workers))
    return {
        "files": known_files,
        "workers": known_workers,
        "file": list(map(file_at.get, files)),
        "line": lines,
        "worker": list(map(worker_at.get, workers)),
        "started_at": starts,
    }


def _memory(results: _Results, where: list[int]) -> list[int | None]:
    """Return the memory of each test, in KiB; nothing where nobody looked at it."""
    if not results.memory:
        return []
    return _taken(results.memory + [None] * (len(results.names) + 1 - len(results.memory)), where)


def _marks(results: _Results, numbers: Mapping[int, int]) -> list[list[Any]]:
    found: dict[str, tuple[list[Any], list[int]]] = {}
    for mark, places in results.marks:
        kept = found.setdefault(repr(mark), (mark, []))[1]
        kept += [numbers[place] for place in places if place in numbers]
    return [[mark, sorted(tests)] for _, (mark, tests) in sorted(found.items()) if tests]


def _frames(results: _Results, at: Mapping[str, int]) -> list[list[Any]]:
    rows = [
        [at[results.names[place]], results.attempts[place], frames]
        for place, frames in results.frames.items()
        if results.counts(place)
    ]
    return sorted(rows, key=itemgetter(0, 1))[:MAX_FRAMED]


def _digest(names: list[str], codes: list[int], causes: Mapping[int, str], coverage: Iterable[MeasuredFile]) -> str:
    """Return a digest of what decisions stand on; what else is kept changes nothing that is derived from a run."""
    found = hashlib.sha256("\0".join(names).encode("utf-8", "replace"))
    found.update(bytes(codes))
    for number, cause in sorted(causes.items()):
        found.update(f"{number}\0{cause}\0".encode())
    for file in coverage:
        found.update(f"{file.sums}\0".encode("utf-8", "replace"))
    return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Ending:
    """How one test ended."""

    node_id: str
    #: Outcome of its last attempt.
    outcome: Outcome
    #: That attempt, from 1; 0 for a test without a result.
    attempt: int
    #: Seconds of that attempt.
    seconds: float


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt of a test that failed or was repeated."""

    node_id: str
    #: Attempt, from 1; 0 for a test that was collected and never heard of.
    attempt: int
    #: How it ended.
    outcome: Outcome
    seconds: float
    #: Fingerprint of its failure; empty without one.
    cause: str
    #: Exception class.
    type: str
    #: First line of its message.
    line: str
    #: Number of the event that told it, and its place there.
    sequence: int
    index: int


@dataclass(frozen=True, slots=True)
class Example:
    """One attempt that failed for a cause, as it reads."""

    #: The cause.
    fingerprint: str
    node_id: str
    #: Attempt, from 1.
    attempt: int
    #: Exception class.
    type: str
    #: What it said: the beginning of a long message.
    message: str
    #: The end of the failure's text; empty for causes beyond `MAX_TEXTS`.
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test is, and where and when its last attempt ran; None for what its producer did not report."""

    #: Source file, and line in it, from 1.
    file: str | None
    line: int | None
    #: Name of the worker process.
    worker: str | None
    #: Seconds since the epoch.
    started_at: float | None


class Part:
    """The columns of one producer, each read when it is asked for."""

    def __init__(self, column: Callable[[str], bytes | None]) -> None:
        """Take what gives a column by its name; None for one that is not there."""
        self._column = column

    @cached_property
    def head(self) -> Mapping[str, Any]:
        """Return the numbers: counts, total, tests_s, digest, collected."""
        return dict(self._json("head", {}))

    @cached_property
    def names(self) -> list[str]:
        """Return the node ids, ascending."""
        blob = self._column("names")
        return names_of(blob) if blob else []

    def endings(self) -> Iterator[Ending]:
        """Yield how each test ended, by node id."""
        names = self.names
        ends = zlib.decompress(self._column("ends") or zlib.compress(b""))
        seconds = array("f")
        seconds.frombytes(zlib.decompress(self._column("times") or zlib.compress(b"")))
        if sys.byteorder == "big":
            seconds.byteswap()
        for number, name in enumerate(names):
            yield Ending(name, outcome_of(ends[number]), ends[len(names) + number], seconds[number])

    def attempts(self) -> Iterator[Tried]:
        """Yield every attempt of the tests that failed or were repeated, by node id and attempt; 0 stands for none."""
        for number, attempt, code, *rest in self._json("attempts", []):
            yield Tried(self.names[number], attempt, outcome_of(code), *rest)

    def causes(self) -> Iterator[Example]:
        """Yield an example of each cause: of its smallest test and attempt."""
        for fingerprint, (number, attempt, _, _, *rest) in self._json("causes", {}).items():
            yield Example(fingerprint, self.names[number], attempt, *rest)

    def places(self) -> Iterator[tuple[str, Place]]:
        """Yield the place of each test, by node id; nothing where its producer recorded none."""
        found = self._json("places", None)
        if found is None:
            return
        files, workers = [*found["files"], None], [*found["workers"], None]
        columns = zip(found["file"], found["line"], found["worker"], found["started_at"], strict=True)
        for name, (file, line, worker, started_at) in zip(self.names, columns, strict=True):
            # No number stands for the None behind the last one.
            at = -1 if file is None else file
            yield name, Place(files[at], line, workers[-1 if worker is None else worker], started_at)

    def frames(self) -> Iterator[tuple[str, int, list[Frame]]]:
        """Yield the frames of failing attempts that are kept, by node id and attempt."""
        for number, attempt, rows in self._json("frames", []):
            frames = [Frame(path=path, line=line, function=function) for path, line, function in rows]
            yield self.names[number], attempt, frames

    def artifacts(self) -> list[Mapping[str, Any]]:
        """Return what was attached, in the order in which it came."""
        return [attachment for _, attachment in self._json("artifacts", [])]

    def change(self) -> dict[str, Any] | None:
        """Return what the run changes, as the data of its event; None where its producer did not record it."""
        change: dict[str, Any] | None = self._json("change", None)
        return change

    def environment(self) -> dict[str, Any] | None:
        """Return where the producer ran, as the data of its event; None where it did not record it."""
        environment: dict[str, Any] | None = self._json("environment", None)
        return environment

    def metrics(self) -> Iterator[Metric]:
        """Yield the measured values, by test and name."""
        yield from map(Metric.model_validate, self._json("metrics", []))

    def benchmarks(self) -> Iterator[Benchmark]:
        """Yield the benchmarks, by test and name."""
        yield from map(Benchmark.model_validate, self._json("benchmarks", []))

    def memory(self) -> Iterator[tuple[str, int]]:
        """Yield the highest memory of each test of which some is known, in KiB, by node id."""
        found = zip(self.names, self._json("memory", [None] * len(self.names)), strict=True)
        yield from ((name, kb) for name, kb in found if kb is not None)

    def coverage(self) -> list[MeasuredFile]:
        """Return what was measured, by path."""
        return [MeasuredFile.of_row(row) for row in self._json("coverage", [])]

    def _json(self, name: str, absent: Any) -> Any:
        blob = self._column(name)
        return absent if blob is None else unpack(blob)


def names_of(column: bytes) -> list[str]:
    """Return the node ids, ascending, of the column `names`."""
    text = zlib.decompress(column).decode()
    return text.split("\0") if text else []


def codes_of(column: bytes) -> bytes:
    """Return how the tests of `names_of` ended, in that order, of the column `ends`: a byte each, see `outcome_of`."""
    ends = zlib.decompress(column)
    return ends[: len(ends) // 2]


def outcome_of(code: int) -> Outcome:
    """Return the outcome of a code; UNKNOWN for one that a newer writer knows."""
    return OUTCOMES[code] if code < len(OUTCOMES) else Outcome.UNKNOWN


def _floats(values: Iterable[float]) -> bytes:
    found = array("f", values)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()
