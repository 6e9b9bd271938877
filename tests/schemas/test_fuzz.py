"""Bodies that nobody would send, through the decoder. The long run is `make fuzz`."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from benchmarks.fuzz import decoded, outcome_of
from harness.examples import EXAMPLES
from testbus_schemas import EventTooLargeError, MalformedEventError, decode, encode, wire

RESULTS = encode(EXAMPLES["results.recorded"]).body


@pytest.mark.slow
def test_nothing_but_a_schema_error_comes_of_any_body() -> None:
    """Twenty thousand of them; some are valid, and the same when they are written and read again."""
    counts, crashes = decoded(20_000, seed=7, processes=1)
    assert crashes == []
    assert counts["bodies"] == counts["accepted"] + counts["rejected"] == 20_000
    assert counts["accepted"] > 1_000


@pytest.mark.slow
def test_fuzzing_would_notice_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any error but a SchemaError is counted, and told with its body."""
    monkeypatch.setattr("benchmarks.fuzz.outcome_of", lambda body, encoding: outcome_of(body, encoding)[99:][0])
    counts, crashes = decoded(10, seed=7, processes=1)
    assert counts["crashed"] == 10
    assert "IndexError" in crashes[0]


def with_extra(text: str) -> bytes:
    """Return a valid event with one more key, which a reader ignores."""
    return RESULTS.replace(b'{"specversion"', b'{"extra":' + text.encode() + b',"specversion"', 1)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 10_000 + "]" * 10_000, id="arrays 10,000 deep"),
        pytest.param('{"a":' * 10_000 + "1" + "}" * 10_000, id="objects 10,000 deep"),
        pytest.param("NaN1", id="no number"),
        pytest.param('"\x01"', id="control character"),
    ],
)
def test_odd_json_is_refused_wherever_it_stands(text: str) -> None:
    """Also where it would be ignored: the bound holds for the whole body."""
    with pytest.raises(MalformedEventError):
        decode(with_extra(text))


def test_invalid_utf_8_is_refused() -> None:
    """In a string, too."""
    with pytest.raises(MalformedEventError):
        decode(RESULTS.replace(b"tests/", b"tests\xff", 1))


def test_huge_numbers_cost_nothing_and_mean_nothing() -> None:
    """A number of a million digits is refused in a field, and no reader chokes on it elsewhere."""
    digits = "9" * 1_000_000
    assert outcome_of(with_extra(digits), None) in {"accepted", "MalformedEventError"}
    with pytest.raises(MalformedEventError):
        decode(RESULTS.replace(b'"attempt":', b'"attempt":' + digits.encode(), 1))


def test_of_a_key_that_stands_twice_one_value_is_taken_everywhere() -> None:
    """What is checked is what is used: a second type or project does not slip past the first."""
    body = json.dumps({**json.loads(RESULTS), "type": "io.testbus.run.completed"}).encode()
    first, second = b'"type": "io.testbus.run.completed"', b'"type": "io.testbus.results.recorded"'
    twice = body.replace(first, first + b", " + second, 1)
    event = decode(twice)
    assert (event.type, event.name) == ("io.testbus.results.recorded", "results.recorded")


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_bounded_however_it_is_packed(layers: int) -> None:
    """Packed twice it is no JSON; packed once, too large."""
    bomb = b" " * (4 * wire.MAX_EVENT_BYTES)
    for _ in range(layers):
        bomb = gzip.compress(bomb, mtime=0)
    with pytest.raises(EventTooLargeError if layers == 1 else MalformedEventError):
        decode(bomb, "gzip")


def test_zlib_and_several_members_are_no_gzip_of_ours() -> None:
    """One whole member, and nothing else."""
    with pytest.raises(MalformedEventError):
        decode(zlib.compress(RESULTS), "gzip")
    half = len(RESULTS) // 2
    with pytest.raises(MalformedEventError, match="followed"):
        decode(gzip.compress(RESULTS[:half]) + gzip.compress(RESULTS[half:]), "gzip")
