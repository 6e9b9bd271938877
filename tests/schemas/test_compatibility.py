"""Events outlive releases: what was once published is read for ever, and older readers understand what is written."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from harness.examples import EXAMPLES, GROWN
from testbus_schemas import EVENT_TYPES, Outcome, ResultsRecorded, decode, encode
from testbus_schemas.json_schema import export
from tests.schemas.compatibility import breaks

#: Events as version 0.1.0 wrote them. Never change or remove one: somebody's stream holds it. New ones may be added.
GOLDEN = Path(__file__).with_name("golden")

#: The JSON Schemas of each release that opened a major version of the events. Never change one.
RELEASED = Path(__file__).with_name("released")


def released(name: str) -> dict[str, Any]:
    """Return the schema as version 0.1.0 published it."""
    schema: dict[str, Any] = json.loads((RELEASED / "0.1.0" / name).read_text())
    return schema


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_golden_events_decode_for_ever(path: Path) -> None:
    """What a release published can be read by every later one of the major version."""
    event = decode(path.read_bytes())
    again = encode(event)
    assert decode(again.body, again.content_encoding) == event


@pytest.mark.parametrize("name", sorted(EXAMPLES | GROWN))
def test_golden_events_mean_what_they_meant(name: str) -> None:
    """Reading a golden event gives the very values that were written."""
    assert decode((GOLDEN / f"{name}.json").read_bytes()) == (EXAMPLES | GROWN)[name]


def test_every_type_has_a_golden_event() -> None:
    """A new type of event comes with a golden one."""
    assert {path.stem for path in GOLDEN.glob("*.json")} >= set(EVENT_TYPES)


def test_a_newer_producer_is_understood() -> None:
    """Unknown fields are passed over; an unknown enum value reads as `unknown`, which never counts as passed."""
    event = decode((GOLDEN / "from-a-newer-producer.json").read_bytes())
    assert isinstance(event.data, ResultsRecorded)
    newer, known = event.data.results
    assert newer.outcome is Outcome.UNKNOWN
    assert newer.outcome.bad
    assert newer.failures[0].message == "wrong\nvery"
    assert known.outcome is Outcome.PASSED


@pytest.mark.parametrize("name", sorted(path.name for path in (RELEASED / "0.1.0").glob("*.json")))
def test_schemas_only_grow_within_a_major_version(name: str) -> None:
    """No field is removed, renamed, retyped or made required, and no enum value is taken away."""
    schemas = export()
    assert name in schemas, f"{name}: the event type is gone"
    assert breaks(released(name), json.loads(schemas[name])) == []


def _without_field(schema: dict[str, Any]) -> None:
    del schema["$defs"]["Result"]["properties"]["node_id"]


def _renamed(schema: dict[str, Any]) -> None:
    fields = schema["$defs"]["RunContext"]["properties"]
    fields["sha"] = fields.pop("commit")


def _required(schema: dict[str, Any]) -> None:
    schema["$defs"]["RunContext"]["required"].append("commit")


def _optional(schema: dict[str, Any]) -> None:
    schema["$defs"]["Result"]["required"].remove("node_id")


def _without_outcome(schema: dict[str, Any]) -> None:
    schema["$defs"]["Outcome"]["enum"].remove("xpassed")


def _retyped(schema: dict[str, Any]) -> None:
    schema["$defs"]["Result"]["properties"]["duration_s"]["type"] = "string"


def _tighter(schema: dict[str, Any]) -> None:
    schema["$defs"]["Result"]["properties"]["node_id"]["maxLength"] = 10


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_without_field, "/data/results/*/node_id: is gone"),
        (_renamed, "/data/context/commit: is gone"),
        (_required, "/data/context/commit: is now required"),
        (_optional, "/data/results/*/node_id: is no longer required"),
        (_without_outcome, "/data/results/*/outcome: 'xpassed' is gone"),
        (_retyped, "/data/results/*/duration_s: type was 'number' and is 'string'"),
        (_tighter, "/data/results/*/node_id: maxLength was 4096 and is 10"),
    ],
)
def test_a_breaking_change_is_noticed(change: Any, told: str) -> None:
    """The comparison finds each kind of change that would break a reader, and names the place."""
    schema = released("results.recorded.json")
    broken = copy.deepcopy(schema)
    change(broken)
    assert breaks(schema, broken) == [told]


def test_an_addition_is_no_break() -> None:
    """A new optional field and a new enum value are what evolution is made of."""
    schema = released("results.recorded.json")
    grown = copy.deepcopy(schema)
    grown["$defs"]["Result"]["properties"]["addition"] = {"type": "array", "default": []}
    grown["$defs"]["Outcome"]["enum"].append("flaky")
    assert breaks(schema, grown) == []
