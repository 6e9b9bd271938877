"""One producer's results added up: the one rule how a test ended, and the columns in which that is kept."""

from __future__ import annotations

import hashlib
import sys
import zlib
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.records.coverage import MeasuredFile, unite
from testbus_consumers.records.facts import CODES, OUTCOMES, pack, unpack
from testbus_schemas import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from testbus_consumers.records.facts import Facts

#: Version of the columns. A reader takes what it knows and anything lower.
FORMAT: Final = 1

#: Causes of one producer whose texts are kept: of more, those of the most tests.
MAX_TEXTS: Final = 200

#: Failing attempts of one producer whose frames are kept.
MAX_FRAMED: Final = 2000

#: Highest attempt that fits into its byte.
MAX_ATTEMPT: Final = 255

#: Codes of outcomes that need a person.
BAD: Final = frozenset(code for outcome, code in CODES.items() if outcome.bad)


#: File, line, worker and start of a test of which nobody told them.
_NOWHERE: Final[list[Any]] = [None] * 4


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Where one attempt was told, and what of it."""

    #: Number of its event.
    sequence: int
    #: Its place in the event.
    index: int
    #: Code of its outcome.
    code: int
    #: Seconds.
    seconds: float


@dataclass
class _Collection:
    """What the facts of one producer say, in the order of its events: of two words on one attempt the first holds."""

    #: Node id → attempt → where it was told.
    attempts: dict[str, dict[int, _Attempt]] = field(default_factory=lambda: defaultdict(dict))
    #: Node ids of what was collected.
    collected: set[str] = field(default_factory=set)
    #: Event and place in it → fingerprint, type, first line of the message.
    failures: dict[tuple[int, int], tuple[str, str, str]] = field(default_factory=dict)
    #: Fingerprint → smallest node id and attempt with a text, and its event, place, message and text.
    causes: dict[str, tuple[str, int, int, int, str, str]] = field(default_factory=dict)
    #: Event and place in it → file, line, worker, start.
    places: dict[tuple[int, int], list[Any]] = field(default_factory=dict)
    #: Event and place in it → frames of its failure.
    frames: dict[tuple[int, int], list[Any]] = field(default_factory=dict)
    #: Markers with the events and places that have them.
    marks: list[tuple[list[Any], list[tuple[int, int]]]] = field(default_factory=list)
    #: What was measured.
    coverage: list[MeasuredFile] = field(default_factory=list)
    #: What was attached.
    artifacts: list[Any] = field(default_factory=list)
    #: Whether what it left out was left out on purpose.
    left_out: bool = False

    def add(self, sequence: int, facts: Facts) -> None:
        """Take the facts of one event."""
        for index, (name, attempt, code, seconds) in enumerate(
            zip(facts.get("n", ()), facts.get("a", ()), facts.get("o", ()), facts.get("d", ()), strict=True)
        ):
            known = code if code < len(OUTCOMES) else CODES[Outcome.UNKNOWN]
            self.attempts[name].setdefault(attempt, _Attempt(sequence, index, known, seconds))
        self.collected.update(facts.get("k", ()))
        self.places |= {(sequence, index): place for index, place in enumerate(facts.get("p", ()))}
        self.failures |= {(sequence, index): (cause, kind, line) for index, cause, kind, line in facts.get("b", ())}
        self.frames |= {(sequence, int(index)): found for index, found in facts.get("f", {}).items()}
        self.marks += [(mark, [(sequence, index) for index in indices]) for mark, indices in facts.get("m", ())]
        for cause, (index, message, text) in facts.get("c", {}).items():
            example = (facts["n"][index], facts["a"][index], sequence, index, message, text)
            self.causes[cause] = min(self.causes.get(cause, example), example)
        self.coverage += map(MeasuredFile.of_row, facts.get("v", ()))
        self.left_out = facts.get("e", self.left_out)
        if "x" in facts:
            self.artifacts.append([sequence, facts["x"]])


def part_of(facts: Iterable[tuple[int, Facts]]) -> dict[str, bytes]:
    """Return the columns of one producer, from its events' numbers and facts, in any order.

    The last attempt of a test says how it ended. One that was collected and has no result was left out on purpose where
    its producer said goodbye (-x, Ctrl-C); otherwise nobody knows what became of it.
    """
    said = _Collection()
    for sequence, found in sorted(facts, key=lambda one: one[0]):
        said.add(sequence, found)
    silent = CODES[Outcome.NOT_RUN if said.left_out else Outcome.NOT_REPORTED]
    names = sorted({*said.attempts, *said.collected})
    last = [max(said.attempts[name]) if name in said.attempts else 0 for name in names]
    ends = [said.attempts[name][attempt] if attempt else None for name, attempt in zip(names, last, strict=True)]
    codes = [end.code if end else silent for end in ends]
    where = [(end.sequence, end.index) if end else None for end in ends]
    seconds = [end.seconds if end else 0.0 for end in ends]
    coverage = unite(said.coverage)
    columns = {
        "head": pack(
            {
                "v": FORMAT,
                "counts": {OUTCOMES[code].value: count for code, count in sorted(Counter(codes).items())},
                "total": len(names),
                "tests_s": round(sum(seconds), 6),
                "digest": _digest(
                    names, codes, [said.failures.get(at, ("",))[0] if at else "" for at in where], coverage
                ),
                "collected": len(said.collected),
            }
        ),
        "names": zlib.compress("\0".join(names).encode("utf-8", "replace"), 1),
        "ends": zlib.compress(bytes(codes) + bytes(min(attempt, MAX_ATTEMPT) for attempt in last), 1),
        "times": zlib.compress(_floats(seconds), 1),
    }
    at = {name: number for number, name in enumerate(names)}
    rows = {
        "attempts": _attempts(said, names, codes),
        "causes": _causes(said, at),
        "places": _places(said, where),
        "marks": _marks(said, where),
        "frames": _frames(said, at),
        "coverage": [file.row for file in coverage],
        "artifacts": said.artifacts,
    }
    return columns | {name: pack(found) for name, found in rows.items() if found}


def _attempts(said: _Collection, names: list[str], codes: list[int]) -> list[list[Any]]:
    """Return every attempt of each test that failed or was repeated; those that passed too, which tell of flakiness.

    A test of which nobody knows what became of it has one row, of attempt 0.
    """
    rows: list[list[Any]] = []
    for number, (name, code) in enumerate(zip(names, codes, strict=True)):
        tried = said.attempts.get(name, {})
        if code not in BAD and len(tried) < 2 and 1 in tried:  # noqa: PLR2004 the second attempt
            continue
        if not tried:
            rows.append([number, 0, code, 0.0, "", "", "", 0, 0])
        for attempt, one in sorted(tried.items()):
            failure = said.failures.get((one.sequence, one.index), ("", "", ""))
            rows.append([number, attempt, one.code, one.seconds, *failure, one.sequence, one.index])
    return rows


def _causes(said: _Collection, at: Mapping[str, int]) -> dict[str, list[Any]]:
    tests: Counter[str] = Counter()
    for tried in said.attempts.values():
        tests.update({said.failures.get((one.sequence, one.index), ("",))[0] for one in tried.values()})
    by_weight = sorted(said.causes, key=lambda cause: (-tests[cause], cause))
    found = {}
    for rank, cause in enumerate(by_weight):
        name, attempt, sequence, index, message, text = said.causes[cause]
        kind = said.failures[sequence, index][1]
        found[cause] = [at[name], attempt, sequence, index, kind, message, text if rank < MAX_TEXTS else ""]
    return found


def _places(said: _Collection, where: list[tuple[int, int] | None]) -> Mapping[str, Any]:
    """Return file, line, worker and start of each test, as columns; files and workers by their number in a list."""
    if not said.places:
        return {}
    rows = [said.places.get(one, _NOWHERE) if one else _NOWHERE for one in where]
    files = sorted({file for file, _, _, _ in rows if file is not None})
    workers = sorted({worker for _, _, worker, _ in rows if worker is not None})
    file_at, worker_at = ({name: number for number, name in enumerate(names)} for names in (files, workers))
    return {
        "files": files,
        "workers": workers,
        "file": [file_at.get(row[0]) for row in rows],
        "line": [row[1] for row in rows],
        "worker": [worker_at.get(row[2]) for row in rows],
        "started_at": [row[3] for row in rows],
    }


def _marks(said: _Collection, where: list[tuple[int, int] | None]) -> list[list[Any]]:
    numbers = {one: number for number, one in enumerate(where) if one}
    found: dict[str, tuple[list[Any], list[int]]] = {}
    for mark, places in said.marks:
        kept = found.setdefault(repr(mark), (mark, []))[1]
        kept += [numbers[one] for one in places if one in numbers]
    return [[mark, sorted(tests)] for _, (mark, tests) in sorted(found.items()) if tests]


def _frames(said: _Collection, at: Mapping[str, int]) -> list[list[Any]]:
    rows = [
        [at[name], attempt, said.frames[one.sequence, one.index]]
        for name, tried in said.attempts.items()
        for attempt, one in tried.items()
        if (one.sequence, one.index) in said.frames
    ]
    return sorted(rows, key=lambda row: row[:2])[:MAX_FRAMED]


def _digest(names: list[str], codes: list[int], causes: list[str], coverage: Iterable[MeasuredFile]) -> str:
    """Return a digest of what decisions stand on; what else is kept changes nothing that is derived from a run."""
    found = hashlib.sha256()
    for name, code, cause in zip(names, codes, causes, strict=True):
        found.update(f"{name}\0{code}\0{cause}\0".encode("utf-8", "replace"))
    for file in coverage:
        found.update(f"{file.sums}\0".encode("utf-8", "replace"))
    return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Ending:
    """How one test ended."""

    #: Node id.
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

    #: Node id.
    node_id: str
    #: Attempt, from 1; 0 for a test that was collected and never heard of.
    attempt: int
    #: How it ended.
    outcome: Outcome
    #: Seconds.
    seconds: float
    #: Fingerprint of its failure; empty without one.
    cause: str
    #: Exception class.
    type: str
    #: First line of what it said.
    line: str
    #: Number of the event that told it, and its place there.
    sequence: int
    index: int


@dataclass(frozen=True, slots=True)
class Example:
    """One attempt that failed for a cause, as it reads."""

    #: The cause.
    fingerprint: str
    #: Node id.
    node_id: str
    #: Attempt, from 1.
    attempt: int
    #: Exception class.
    type: str
    #: What it said: the beginning of a long message.
    message: str
    #: The end of the failure's text; empty for causes beyond `MAX_TEXTS`.
    text: str


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


def outcomes_of(column: bytes) -> list[Outcome]:
    """Return how the tests of `names_of` ended, in that order, of the column `ends`."""
    ends = zlib.decompress(column)
    return [outcome_of(code) for code in ends[: len(ends) // 2]]


def outcome_of(code: int) -> Outcome:
    """Return the outcome of a code; UNKNOWN for one that a newer writer knows."""
    return OUTCOMES[code] if code < len(OUTCOMES) else Outcome.UNKNOWN


def _floats(values: Iterable[float]) -> bytes:
    found = array("f", values)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()
