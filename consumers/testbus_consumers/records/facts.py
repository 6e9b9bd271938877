"""What decisions need of one event: its facts, as small JSON, taken from the model that was decoded anyway."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json, to_json
from sqlalchemy import select

from testbus_consumers.records.coverage import measured
from testbus_consumers.records.tables import EVENT
from testbus_schemas import (
    ArtifactRecorded,
    BenchmarksRecorded,
    ChangeRecorded,
    CoverageRecorded,
    EnvironmentRecorded,
    MalformedEventError,
    MetricsRecorded,
    Outcome,
    ProducerFinished,
    ResultsRecorded,
    TestsCollected,
    decode,
    fingerprint,
)
from testbus_schemas.coverage import line_spans
from testbus_schemas.fingerprints import root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from testbus_consumers.store.run_key import RunKey
    from testbus_schemas import Event, EventData, Failure, Result

#: Outcomes by code. The list only grows; a code that a reader does not know is UNKNOWN.
OUTCOMES: Final = (
    Outcome.PASSED,
    Outcome.FAILED,
    Outcome.ERROR,
    Outcome.SKIPPED,
    Outcome.XFAILED,
    Outcome.XPASSED,
    Outcome.TIMEOUT,
    Outcome.NOT_REPORTED,
    Outcome.NOT_RUN,
    Outcome.UNKNOWN,
)

#: Code of an outcome.
CODES: Final[Mapping[Outcome, int]] = {outcome: code for code, outcome in enumerate(OUTCOMES)}

#: Characters of a failure's type, of its message's first line, of its message, and of the end of its text.
TYPE_CHARS: Final = 200
LINE_CHARS: Final = 500
MESSAGE_CHARS: Final = 2000
TEXT_CHARS: Final = 6000

#: Frames of one failing attempt that are kept: of more, the outermost are left out.
MAX_FRAMES: Final = 40

#: Bytes from which a body that came as plain JSON is compressed.
_LARGE: Final = 512

#: Stands for NUL, which no database takes.
_NUL: Final = str.maketrans("\0", "\ufffd")

#: Facts of one event as JSON data.
Facts = dict[str, Any]


def facts_of(event: Event[EventData]) -> tuple[bytes | None, str | None]:
    """Return the facts of an event, and why they could not be taken; both None for an event that has none.

    Never raises: whatever `decode` accepts is kept and counted, and what of it is unusable is reported.
    """
    take = _TAKEN.get(type(event.data))
    if take is None:
        return None, None
    try:
        return pack(take(event.data)), None
    except MalformedEventError as error:
        return None, str(error)


def pack(value: Any) -> bytes:
    """Return JSON data as compressed bytes; NUL in texts is replaced."""
    text = to_json(value)
    # JSON has only one way to write NUL, and a backslash before it is written as two.
    if b"\\u0000" in text:
        text = to_json(_without_nul(value))
    return zlib.compress(text, 1)


def unpack(blob: bytes) -> Any:
    """Return what `pack` was given."""
    return from_json(zlib.decompress(blob))


def kept_facts(connection: Connection, key: RunKey, producer: str) -> list[tuple[int, Facts]]:
    """Return the facts of a producer's events that have some, each with its number, in no order."""
    own = (*key.rows(EVENT), EVENT.c.producer == producer, EVENT.c.facts.is_not(None))
    rows = connection.execute(select(EVENT.c.sequence, EVENT.c.facts).where(*own))
    return [(row.sequence, unpack(row.facts)) for row in rows]


def packed_body(body: bytes, encoding: str | None) -> tuple[bytes, str]:
    """Return an event's body as it came, or compressed where it came large and plain, and how to read it."""
    if not encoding and len(body) > _LARGE:
        return zlib.compress(body, 1), "zlib"
    return body, encoding or ""


def read_body(body: bytes, encoding: str, received: datetime | None = None) -> Event[EventData]:
    """Return the event whose `packed_body` this is, as it read when it was `received`. Raises SchemaError."""
    if encoding == "zlib":
        return decode(zlib.decompress(body), received=received)
    return decode(body, encoding or None, received=received)


def content_of(data: ArtifactRecorded) -> bytes:
    """Return an attached file; b"" where its event holds none that can be read."""
    try:
        return base64.b64decode(data.content or "", validate=True)
    except binascii.Error:
        return b""


def _results(data: ResultsRecorded) -> Facts:
    facts: Facts = {
        "n": [one.node_id for one in data.results],
        "a": [one.attempt for one in data.results],
        "o": [CODES[one.outcome] for one in data.results],
        "d": [round(one.duration_s, 6) for one in data.results],
    }
    if places := _places(data.results):
        facts["p"] = places
    memory = [one.memory_kb for one in data.results]
    if any(kb is not None for kb in memory):
        facts["y"] = memory
    marks: dict[str, tuple[list[Any], list[int]]] = {}
    bad: list[list[Any]] = []
    causes: dict[str, list[Any]] = {}
    frames: dict[str, list[Any]] = {}
    for index, result in enumerate(data.results):
        for marker in result.markers:
            mark = [marker.name, list(marker.args), dict(sorted(marker.keywords.items()))]
            marks.setdefault(json.dumps(mark), (mark, []))[1].append(index)
        failure = result.failures[0] if result.failures else None
        if failure is None:
            continue
        cause, raised = fingerprint(failure), root(failure)
        bad.append([index, cause, raised.type[:TYPE_CHARS], _first_line(raised.message)[:LINE_CHARS]])
        causes.setdefault(cause, [index, raised.message[:MESSAGE_CHARS], _last(failure.text, TEXT_CHARS)])
        if result.outcome.bad and failure.frames:
            frames[str(index)] = _frames(failure)
    return (
        facts
        | {name: found for name, found in (("b", bad), ("c", causes), ("f", frames)) if found}
        | ({"m": list(marks.values())} if marks else {})
    )


def _collected(data: TestsCollected) -> Facts:
    return {"k": data.node_ids}


def _coverage(data: CoverageRecorded) -> Facts:
    return {"v": [file.row for file in measured(file.model_dump() for file in data.files)]}


def _artifact(data: ArtifactRecorded) -> Facts:
    facts = _own(data, "content")
    if content := content_of(data):
        facts |= {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return {"x": facts}


def _change(data: ChangeRecorded) -> Facts:
    for file in data.files:
        line_spans(file.added)
    return {"h": _own(data)}


def _environment(data: EnvironmentRecorded) -> Facts:
    return {"w": _own(data)}


def _metrics(data: MetricsRecorded) -> Facts:
    return {"q": _own(data)["metrics"]}


def _benchmarks(data: BenchmarksRecorded) -> Facts:
    return {"g": _own(data)["benchmarks"]}


def _own(data: EventData, *left_out: str) -> dict[str, Any]:
    """Return what an event says beside whose it is, as JSON data, without what it leaves at its default."""
    return data.model_dump(mode="json", exclude_defaults=True, exclude={"context", "producer", *left_out})


def _ending(data: ProducerFinished) -> Facts:
    return {"e": data.left_out_on_purpose}


#: What is taken of which data.
_TAKEN: Final[Mapping[type, Callable[[Any], Facts]]] = {
    ResultsRecorded: _results,
    TestsCollected: _collected,
    CoverageRecorded: _coverage,
    ArtifactRecorded: _artifact,
    ChangeRecorded: _change,
    EnvironmentRecorded: _environment,
    MetricsRecorded: _metrics,
    BenchmarksRecorded: _benchmarks,
    ProducerFinished: _ending,
}


def _frames(failure: Failure) -> list[list[Any]]:
    return [[frame.path, frame.line, frame.function] for frame in failure.frames[-MAX_FRAMES:]]


def _places(results: Sequence[Result]) -> list[list[Any]] | None:
    """Return files, and of each result the number of its file, its line, worker and start; None without any."""
    columns = (
        [one.file for one in results],
        [one.line for one in results],
        [one.worker for one in results],
        [_seconds(one) for one in results],
    )
    if all(column.count(None) == len(results) for column in columns):
        return None
    numbers = {file: number for number, file in enumerate(dict.fromkeys(columns[0]))}
    return [list(numbers), [numbers[file] for file in columns[0]], *columns[1:]]


def _seconds(result: Result) -> float | None:
    return None if result.started_at is None else round(result.started_at.timestamp(), 3)


def _first_line(message: str) -> str:
    return next((line for line in message.splitlines() if line.strip()), "")


def _last(text: str, characters: int) -> str:
    return text[-characters:]


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.translate(_NUL)
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(one) for key, one in value.items()}
    return [_without_nul(one) for one in value] if isinstance(value, (list, tuple)) else value
