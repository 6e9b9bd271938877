"""From an event to bytes and back; and whatever else a queue may hold is a SchemaError that says where."""

from __future__ import annotations

import contextlib
import gzip
import json
import tracemalloc
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import strategies
from harness.examples import CONTEXT, EXAMPLES, RESULT
from testbus_schemas import (
    Event,
    EventData,
    EventTooLargeError,
    MalformedEventError,
    Result,
    ResultsRecorded,
    SchemaError,
    UnknownEventTypeError,
    UnsupportedVersionError,
    decode,
    encode,
    produced,
    wire,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = EXAMPLES["results.recorded"]


def as_json(event: Event[EventData] = RESULTS) -> dict[str, Any]:
    """Return an event as the JSON that is sent."""
    body: dict[str, Any] = json.loads(encode(event).body)
    return body


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the body of a valid event after one change to its JSON."""
    raw = as_json()
    change(raw)
    return json.dumps(raw).encode()


@settings(max_examples=60, deadline=None)
@given(strategies.events)
def test_reading_what_was_written_gives_the_event(event: Event[EventData]) -> None:
    """Round trip: nothing is lost, and writing it again gives the same bytes."""
    encoded = encode(event)
    again = decode(encoded.body, encoded.content_encoding)
    assert again == event
    assert encode(again) == encoded


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_envelope_is_a_cloud_event(name: str) -> None:
    """The required attributes of CloudEvents 1.0 are written, and those that testbus adds to them."""
    raw = as_json(EXAMPLES[name])
    assert raw["specversion"] == "1.0"
    assert raw["type"] == f"io.testbus.{name}"
    assert raw["dataschema"] == f"urn:testbus:{name}:1"
    # What people decide belongs to a project, and to the day.
    assert raw["subject"] == ("-2026-11-20" if name.startswith("override.") else CONTEXT.run)
    assert raw["time"].endswith("Z")
    assert EXAMPLES[name].routing_key == f"{name}.web-shop"


def test_large_events_are_gzipped_and_equal_ones_equally() -> None:
    """Above the bound the body is gzipped, without a time stamp that would make a repeated publish differ."""
    big = produced(RESULTS.data.model_copy(update={"results": (RESULT,) * 200}), time=RESULTS.time)
    first, second = encode(big), encode(big)
    assert first.content_encoding == "gzip"
    assert first.body == second.body
    assert decode(first.body, "gzip") == big
    assert encode(RESULTS).content_encoding is None


def test_an_event_above_the_bound_is_not_written() -> None:
    """Whoever makes an event that nobody would read is told so."""
    result = Result(node_id="a", outcome="passed", reason="x" * wire.MAX_EVENT_BYTES)
    with pytest.raises(EventTooLargeError, match="at most"):
        encode(produced(ResultsRecorded(context=CONTEXT, results=(result,))))


def test_times_of_any_offset_are_the_same_instant() -> None:
    """A writer may use its own offset; the reader sees UTC."""
    event = decode(changed(lambda raw: raw.update(time="2026-11-20T12:13:26.123456+01:00")))
    assert event.time == RESULTS.time
    assert encode(event).body == encode(RESULTS).body


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([None, "gzip", "identity", "", "br", "utf-8"]))
def test_any_bytes_are_refused_with_a_schema_error(body: bytes, encoding: str | None) -> None:
    """Nothing but SchemaError, whatever the bytes and whatever their announced encoding."""
    with pytest.raises(SchemaError):
        decode(body, encoding)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_event_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    """Valid events with some bytes overwritten, removed or repeated."""
    encoded = encode(data.draw(st.sampled_from(sorted(EXAMPLES.values(), key=lambda event: event.name))))
    body = bytearray(encoded.body if data.draw(st.booleans()) else gzip.compress(encoded.body, mtime=0))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    with contextlib.suppress(SchemaError):
        decode(bytes(body), data.draw(st.sampled_from([None, "gzip"])))


#: Any JSON, some of it with what a field might trip over.
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just(10**400)
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(st.data(), _json)
def test_any_value_in_any_place_is_read_or_refused(data: st.DataObject, value: object) -> None:
    """Every field of a valid event with an arbitrary JSON value in its place."""
    raw = as_json(data.draw(st.sampled_from(sorted(EXAMPLES.values(), key=lambda event: event.name))))
    at: Any = raw
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if not at[key] or not isinstance(at[key], dict | list) or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = value
    with contextlib.suppress(SchemaError):
        event = decode(json.dumps(raw).encode())
        encoded = encode(event)
        assert decode(encoded.body, encoded.content_encoding) == event


@pytest.mark.parametrize(
    ("body", "error", "told"),
    [
        (b"", MalformedEventError, "not a CloudEvent"),
        (b"null", MalformedEventError, "not a CloudEvent"),
        (b"[]", MalformedEventError, "not a CloudEvent"),
        (b"{}", MalformedEventError, "type: Field required"),
        (encode(RESULTS).body[:-1], MalformedEventError, "not a CloudEvent"),
        (encode(RESULTS).body.decode().encode("utf-16"), MalformedEventError, "not a CloudEvent"),
        (b"\xef\xbb\xbf" + encode(RESULTS).body, MalformedEventError, "not a CloudEvent"),
        (b"[" * 200_000, MalformedEventError, "recursion"),
        (changed(lambda raw: raw.update(specversion="2.0")), MalformedEventError, "specversion"),
        (changed(lambda raw: raw.update(type="io.testbus.results.deleted")), UnknownEventTypeError, "upgrade"),
        (changed(lambda raw: raw.update(type="com.acme.thing")), UnknownEventTypeError, "results.recorded"),
        (changed(lambda raw: raw.update(dataschema="urn:testbus:results.recorded:2")), UnsupportedVersionError, "2"),
        (changed(lambda raw: raw.update(dataschema="urn:acme:1")), MalformedEventError, "urn:testbus:results.recorded"),
        (changed(lambda raw: raw.update(subject="another")), MalformedEventError, "subject 'another'"),
        (changed(lambda raw: raw.update(time="yesterday")), MalformedEventError, "results.recorded: time"),
        (changed(lambda raw: raw.update(time="2026-11-20T11:13:26")), MalformedEventError, "timezone"),
        (changed(lambda raw: raw.update(time="0001-01-01T00:00:00+14:00")), MalformedEventError, "year 1 "),
        (changed(lambda raw: raw["data"].pop("results")), MalformedEventError, "data.results: Field required"),
        (
            changed(lambda raw: raw["data"]["context"].update(project="Web Shop")),
            MalformedEventError,
            "context.project",
        ),
        (changed(lambda raw: raw["data"]["context"]["shard"].update(index=5)), MalformedEventError, "shard 5 of 4"),
        (changed(lambda raw: raw["data"].update(results=raw["data"]["results"] * 101)), MalformedEventError, "200"),
        (b'{"type":"' + b"x" * wire.MAX_EVENT_BYTES + b'"}', EventTooLargeError, "at most"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(body: bytes, error: type[SchemaError], told: str) -> None:
    """The error's class says what kind of fault it is, its message where."""
    with pytest.raises(error, match=told.replace("(", r"\(")):
        decode(body)


def test_faults_never_show_the_input() -> None:
    """What was refused may hold a secret, and the message goes into logs."""
    with pytest.raises(SchemaError) as caught:
        decode(changed(lambda raw: raw["data"]["producer"].update(sequence="hunter2", id=["hunter2"])))
    assert "hunter2" not in str(caught.value)


def test_many_faults_are_summed_up() -> None:
    """A message stays readable: three faults, and how many more."""
    wrong = dict.fromkeys(
        ("project", "run", "suite", "stage", "attempt", "commit", "branch", "started_at", "base"), 0.5
    )
    with pytest.raises(MalformedEventError, match="and 5 more"):
        decode(changed(lambda raw: raw["data"]["context"].update(wrong)))


@pytest.mark.parametrize(
    ("change", "outcome", "told"),
    [
        ({"duration_s": -1577836800.0}, "passed", ""),
        ({"duration_s": float("nan"), "phases": {"call": float("inf")}}, "passed", ""),
        ({"started_at": "1955-11-05T06:15:00Z", "line": "twelve"}, "passed", ""),
        ({"logs": [{"time": "1955-11-05T06:15:00Z", "message": "too early"}]}, "passed", ""),
        ({"outcome": "failed", "failures": "none of ours", "parameters": 3}, "failed", ""),
        ({"outcome": 5}, "error", "this result cannot be read: outcome"),
        ({"attempt": 0}, "error", "this result cannot be read: attempt"),
        ({"node_id": "x" * 5000}, "error", "this result cannot be read: node_id"),
        ({"node_id": ""}, "error", "this result cannot be read: node_id"),
    ],
)
def test_a_result_that_cannot_be_read_takes_no_other_along(change: dict[str, Any], outcome: str, told: str) -> None:
    """Details that are wrong are left out; one without a name or an outcome is an error, and never passed."""
    raw = as_json()
    good = [{"node_id": f"test_{number}", "outcome": "passed"} for number in range(199)]
    bad = {"node_id": "test_bad", "outcome": "passed"} | change
    raw["data"]["results"] = [*good[:7], bad, *good[7:]]
    event = decode(json.dumps(raw).encode())
    assert isinstance(event.data, ResultsRecorded)
    results = list(event.data.results)
    salvaged = results.pop(7)
    assert [result.node_id for result in results] == [result["node_id"] for result in good]
    assert salvaged.outcome.value == outcome
    assert salvaged.duration_s == 0
    assert [failure.message for failure in salvaged.failures] == ([told] if told else [])
    named = isinstance(change.get("node_id", ""), str) and change.get("node_id", "test_bad")
    assert salvaged.node_id == (str(named)[:4096] or "unreadable result 8")


@pytest.mark.parametrize("odd", [7, None, "test_a", {"a": 1}])
def test_what_is_no_result_at_all_is_an_error_of_its_own(odd: object) -> None:
    """A list of them is read all the same; what is no list is refused as ever."""
    raw = as_json()
    raw["data"]["results"] = [odd]
    event = decode(json.dumps(raw).encode())
    assert isinstance(event.data, ResultsRecorded)
    assert [(one.node_id, one.outcome.value) for one in event.data.results] == [("unreadable result 1", "error")]
    raw["data"]["results"] = odd
    with pytest.raises(MalformedEventError):
        decode(json.dumps(raw).encode())


def test_a_gzip_bomb_is_refused_while_it_inflates() -> None:
    """A small body that inflates to many times the bound costs no more than the bound."""
    bomb = gzip.compress(b" " * 6 * wire.MAX_EVENT_BYTES, mtime=0)
    tracemalloc.start()
    try:
        with pytest.raises(EventTooLargeError, match="inflates"):
            decode(bomb, "gzip")
        assert tracemalloc.get_traced_memory()[1] < 3 * wire.MAX_EVENT_BYTES
    finally:
        tracemalloc.stop()


def test_a_gzipped_body_must_be_whole() -> None:
    """Cut short, or followed by anything, it is refused."""
    packed = gzip.compress(encode(RESULTS).body, mtime=0)
    for cut in range(0, len(packed), 7):
        with pytest.raises(MalformedEventError, match="cut short"):
            decode(packed[:cut], "gzip")
    with pytest.raises(MalformedEventError, match="followed"):
        decode(packed + b"x", "gzip")
    with pytest.raises(MalformedEventError, match="is not"):
        decode(encode(RESULTS).body, "gzip")
    with pytest.raises(MalformedEventError, match="'br'"):
        decode(packed, "br")


#: Where a text stands in an event, and how it is put there.
PLACES: dict[str, Callable[[dict[str, Any], str], None]] = {
    "node id": lambda raw, text: raw["data"]["results"][0].update(node_id=text),
    "variant": lambda raw, text: raw["data"]["context"].update(variant=text),
    "label": lambda raw, text: raw["data"]["context"].update(labels={text: text}),
    "message": lambda raw, text: raw["data"]["results"][0].update(failures=[{"type": text, "message": text}]),
    "run": lambda raw, text: (raw.update(subject=text), raw["data"]["context"].update(run=text)),  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("a\0b", "a\ufffdb"),
        ("\0\0", "\ufffd\ufffd"),
        # Not a NUL: a backslash, then what looks like one.
        ("a\\u0000", "a\\u0000"),
        ("a\\\0", "a\\\ufffd"),
        # Halves of surrogate pairs, as a Java or JavaScript runner writes them; and a whole pair.
        ("\ud83d!", "\ufffd!"),
        ("!\ude00", "!\ufffd"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_what_no_database_keeps_is_replaced_when_it_is_read(place: str, sent: str, read: str) -> None:
    """A NUL or half a surrogate pair anywhere in an event costs nobody the event."""
    raw = changed(lambda event: PLACES[place](event, sent))
    expected = changed(lambda event: PLACES[place](event, read))
    assert decode(raw) == decode(expected)


@pytest.mark.parametrize("text", ["a\0b", "\0", "a\\u0000\0"])
def test_what_no_database_keeps_is_replaced_when_an_event_is_made(text: str) -> None:
    """Readers in other languages, and older ones, never see it."""
    event = produced(ResultsRecorded(context=CONTEXT, results=(RESULT.model_copy(update={"node_id": text}),)))
    assert json.loads(encode(event).body)["data"]["results"][0]["node_id"] == text.replace("\0", "\ufffd")


RECEIVED = CONTEXT.started_at + timedelta(hours=1)


@pytest.mark.parametrize(
    ("started", "kept"),
    [
        (timedelta(0), True),
        # Local time that was taken for UTC, at the most.
        (timedelta(hours=15), True),
        (timedelta(hours=26), False),
        (timedelta(days=9 * 365), False),
        # Behind is what a replay is.
        (timedelta(days=-400), True),
    ],
)
def test_a_run_begins_at_most_a_day_after_it_is_heard_of(started: timedelta, kept: bool) -> None:  # noqa: FBT001
    """A runner whose clock is wrong: the reception takes the place of its time, which is kept beside it."""
    claimed = CONTEXT.started_at + started
    late = CONTEXT.model_copy(update={"started_at": claimed})
    event = produced(
        ResultsRecorded(context=late, results=(RESULT.model_copy(update={"started_at": claimed}),)), time=claimed
    )
    read = decode(encode(event).body, received=RECEIVED)
    assert isinstance(read.data, ResultsRecorded)
    times = {read.time, read.data.context.started_at, read.data.results[0].started_at}
    assert times == {claimed if kept else RECEIVED}
    assert read.data.context.started_at_claimed == (None if kept else claimed)
    # What follows from it carries it on, and nobody replaces it again.
    again = decode(encode(read).body, received=RECEIVED)
    assert again == read


def test_without_a_reception_every_time_is_as_it_was_written() -> None:
    """Whoever reads what was kept, a decision of its own say, finds what was kept."""
    late = CONTEXT.model_copy(update={"started_at": CONTEXT.started_at + timedelta(days=4000)})
    event = produced(ResultsRecorded(context=late, results=()))
    assert decode(encode(event).body) == event
