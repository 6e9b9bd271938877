"""From records of a spool to messages, by joining bytes: equal records and an equal cut give equal bytes and ids."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_broker.message import Message
from testbus_producers.context.run_context import utc_text
from testbus_schemas import identity, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: Kinds of records, and the events that are cut from them.
RESULT: Final = b"R"
STARTED: Final = b"S"
COLLECTED: Final = b"T"
COVERAGE: Final = b"V"
ARTIFACT: Final = b"A"
CHANGE: Final = b"H"
ENVIRONMENT: Final = b"E"
METRICS: Final = b"M"
BENCHMARKS: Final = b"B"
FINISHED: Final = b"F"

#: A test that did nothing but pass, in the few bytes that cost its own process the least (see `passed`): nearly all
#: tests are such. Whoever reads the spool makes a RESULT of it.
PASSED: Final = b"P"

#: How it begins: seconds since 1970 when the test began (0: unknown), seconds of setup, call and teardown, and the line
#: (0: unknown). The node id follows, and where its file is another one than the node id says, a NUL and that file.
_PASSED: Final = struct.Struct("<ddddI")
_pack = _PASSED.pack

#: Records that never become an event: the context as far as it was known when the producer began, and a process in
#: which tests run.
CONTEXT: Final = b"C"
WORKER: Final = b"W"

#: Event type (short name) by kind of record.
NAMES: Final[Mapping[bytes, str]] = {
    RESULT: "results.recorded",
    STARTED: "producer.started",
    COLLECTED: "tests.collected",
    COVERAGE: "coverage.recorded",
    ARTIFACT: "artifact.recorded",
    CHANGE: "change.recorded",
    ENVIRONMENT: "environment.recorded",
    METRICS: "metrics.recorded",
    BENCHMARKS: "benchmarks.recorded",
    FINISHED: "producer.finished",
}

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False, allow_nan=False)


def _encoder() -> Callable[[Any, int], Iterable[str]]:
    """Return what makes the parts of a JSON text: the function in C itself, so that no mock of `json` reaches it."""
    in_c = getattr(json.encoder, "c_make_encoder", None)
    if in_c is None:
        return lambda data, _indent: _ENCODER.iterencode(data)
    options = {"sort_keys": False, "skipkeys": False, "allow_nan": False}
    made: Callable[[Any, int], Iterable[str]] = in_c(
        markers=None,
        default=_ENCODER.default,
        encoder=json.encoder.encode_basestring,
        indent=None,
        key_separator=":",
        item_separator=",",
        **options,
    )
    return made


_parts: Final = _encoder()


def to_json(data: Any) -> bytes:
    """Return compact JSON in UTF-8; what cannot be encoded (lone surrogates) becomes a question mark, a NUL U+FFFD."""
    return wire.without_nul("".join(_parts(data, 0)).encode("utf-8", "replace"))


def passed(node_id: str, began: float, seconds: tuple[float, float, float], path: str, line: int) -> bytes:
    """Return the body of a PASSED record; `path` is empty and `line` 0 where they are unknown. No NUL in the texts."""
    text = node_id if path and node_id.startswith(f"{path}::") else f"{node_id}\x00{path}"
    return _pack(began, *seconds, line) + text.encode("utf-8", "replace")


def as_published(record: bytes) -> bytes:
    """Return a record as events have it: a RESULT in place of a PASSED, always the same one; any other as it is."""
    if record[:1] != PASSED:
        return record
    began, setup, call, teardown, line = _PASSED.unpack_from(record, 1)
    node_id, apart, path = record[1 + _PASSED.size :].decode().partition("\x00")
    result: dict[str, Any] = {
        "node_id": node_id,
        "outcome": "passed",
        "started_at": utc_text(began) if began else None,
        "duration_s": round(setup + call + teardown, 6),
        "phases": {"setup": round(setup, 6), "call": round(call, 6), "teardown": round(teardown, 6)},
        "file": (path if apart else node_id.partition("::")[0]) or None,
        "line": line or None,
        "code_ref": code_ref(node_id),
    }
    return RESULT + to_json(result)


def code_ref(node_id: str) -> str | None:
    """Return where a test is in the code, as `test_a.py:TestA.test_b`; None for one that is in no file."""
    module, separator, names = node_id.partition("::")
    return f"{module}:{names.partition('[')[0].replace('::', '.')}" if separator else None


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Which records of the spool are one event: decided once, written down before the event is published."""

    #: Position among the producer's events, from 1.
    sequence: int
    #: Kind of its records.
    kind: bytes
    #: Number of the segment that holds them; 0: none does, `folder.RELAYED`: what the relay itself recorded.
    segment: int
    #: Where the first record begins in that segment, in bytes.
    start: int
    #: Where the last one ends.
    end: int
    #: How many results (or collected tests, else records) it holds.
    count: int
    #: The event's time, ISO 8601 in UTC.
    time: str
    #: Places of results, and the memory in KiB that their processes had.
    memory: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class EventBuilder:
    """Who publishes, and about which run: what every event of a producer has in common."""

    #: The producer's id.
    producer: str
    #: The context, as JSON in UTF-8.
    context: bytes
    #: The run's id.
    run: str
    project: str

    @classmethod
    def of(cls, producer: str, context: Mapping[str, Any]) -> EventBuilder:
        """Return the builder with this context."""
        return cls(producer=producer, context=to_json(context), run=context["run"], project=context["project"])

    def event(self, cut: Cut, bodies: Sequence[bytes], *, lost: int = 0) -> Message:
        """Return the event of the records that a cut names; a producer's end counts what is `lost` as dropped, too."""
        if cut.kind == RESULT:
            if cut.memory and len(bodies) == cut.count:
                known = dict(cut.memory)
                bodies = [_with_memory(body, known.get(place)) for place, body in enumerate(bodies)]
            fields = b'"results":[' + b",".join(bodies) + b"]"
        elif cut.kind == FINISHED:
            end = bodies[0]
            if lost:
                finished = json.loads(end)
                end = to_json(finished | {"dropped": finished.get("dropped", 0) + lost})
            fields = b'"events":%d,' % cut.sequence + end[1:-1]
        else:
            fields = bodies[0][1:-1]
        event_id = identity.producer_event_id(self.producer, cut.sequence)
        return self._message(NAMES[cut.kind], event_id, cut.time, b"%d" % cut.sequence, b"," + fields)

    def heartbeat(self, time: str) -> Message:
        """Return a sign of life, which is not counted."""
        return self._message("producer.heartbeat", identity.new_id(), time, b"null", b"")

    def _message(self, name: str, event_id: str, time: str, sequence: bytes, fields: bytes) -> Message:
        head = {
            "specversion": wire.SPEC_VERSION,
            "id": event_id,
            "source": f"/testbus/producers/{self.producer}",
            "type": wire.event_type(name),
            "time": time,
            "subject": self.run,
            "datacontenttype": "application/json",
            "dataschema": wire.data_schema(name),
        }
        origin = b'{"id":%b,"sequence":%b}' % (to_json(self.producer), sequence)
        body = b'%b,"data":{"context":%b,"producer":%b%b}}' % (to_json(head)[:-1], self.context, origin, fields)
        sent, encoding = wire.compress(body)
        return Message(
            body=sent,
            routing_key=wire.routing_key(name, self.project),
            content_type=wire.CONTENT_TYPE,
            content_encoding=encoding,
            message_id=event_id,
        )


def _with_memory(result: bytes, kb: int | None) -> bytes:
    return result if kb is None else b'%b,"memory_kb":%d}' % (result[:-1], kb)


@dataclass(frozen=True, kw_only=True)
class SessionAccount:
    """What a test runner counted itself, beside what was recorded of it; see `ProducerFinished`."""

    #: Failures in the runner's own count.
    failures: int | None = None
    #: Tests whose last result is failed, timeout or error.
    failed: int | None = None
    #: Tests that were collected and have no result.
    left_out: int | None = None
    #: Why the runner stopped before all tests had run.
    stopped: str | None = None
    #: Faults of our own that may have cost a result.
    faults: int = 0


#: Characters of the reason of a stop.
_MAX_REASON: Final = 500


def ending(  # noqa: PLR0917 the fields of one event
    status: str,
    exit_status: int | None,
    collected: int | None,
    reported: int,
    dropped: int,
    account: SessionAccount | None = None,
) -> dict[str, Any]:
    """Return the data of `producer.finished`, without the number of events, which is known when it is cut."""
    data: dict[str, Any] = {
        "status": status,
        "exit_status": exit_status,
        "collected": collected,
        "reported": reported,
        "dropped": dropped,
    }
    if account is not None:
        stopped = account.stopped[:_MAX_REASON] if account.stopped else None
        data |= {
            "failures": account.failures,
            "failed": account.failed,
            "left_out": account.left_out,
            "stopped": stopped,
            "faults": account.faults,
        }
    return data
