"""The JSON Schemas that producers in other languages work by."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from harness import strategies
from harness.examples import EXAMPLES, GROWN
from testbus_schemas import Event, EventData, encode
from testbus_schemas.codec import inflate
from testbus_schemas.json_schema import DIRECTORY, export


def validator(name: str) -> Draft202012Validator:
    """Return what judges by the checked-in schema of a type."""
    return Draft202012Validator(json.loads((DIRECTORY / f"{name}.json").read_text()))


def as_json(event: Event[EventData]) -> dict[str, Any]:
    """Return an event as the JSON that is sent."""
    encoded = encode(event)
    body: dict[str, Any] = json.loads(inflate(encoded.body, encoded.content_encoding))
    return body


def test_the_checked_in_schemas_are_those_of_the_models() -> None:
    """`make schemas` has been run since the models were last changed."""
    checked_in = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.json")}
    assert checked_in == export()


@pytest.mark.parametrize("event", [*EXAMPLES.values(), *GROWN.values()], ids=lambda event: event.name)
def test_a_schema_is_valid_and_accepts_what_is_written(event: Event[EventData]) -> None:
    """Each is a proper draft 2020-12 schema, and a full event of the type satisfies it."""
    schema = validator(event.name)
    Draft202012Validator.check_schema(schema.schema)
    assert list(schema.iter_errors(as_json(event))) == []


@settings(max_examples=40, deadline=None)
@given(strategies.events)
def test_schemas_accept_every_event_that_can_be_written(event: Event[EventData]) -> None:
    """What the codec writes, defaults left out, is what the schemas describe."""
    assert list(validator(event.name).iter_errors(as_json(event))) == []


def _broken(raw: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    at: Any = raw
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return raw


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("specversion",), "0.3"),
        (("type",), "io.testbus.run.completed"),
        (("dataschema",), "urn:testbus:results.recorded:2"),
        (("id",), ""),
        (("time",), 5),
        (("data", "context", "project"), "Not Allowed"),
        (("data", "context", "run"), ""),
        (("data", "producer", "sequence"), 0),
        (("data", "results"), None),
        (("data", "results", 0, "outcome"), "wonderful"),
        (("data", "results", 0, "attempt"), "first"),
        (("data", "results", 0, "duration_s"), -1),
    ],
)
def test_a_schema_refuses_a_broken_event(place: tuple[Any, ...], value: Any) -> None:
    """A producer in another language learns from the schema what would be dead-lettered."""
    raw = _broken(as_json(EXAMPLES["results.recorded"]), place, value)
    assert list(validator("results.recorded").iter_errors(raw))


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_schema_names_every_required_attribute(name: str) -> None:
    """Without its data, id or type nothing is an event."""
    for attribute in ("specversion", "id", "source", "type", "time", "subject", "dataschema", "data"):
        raw = as_json(EXAMPLES[name])
        del raw[attribute]
        assert list(validator(name).iter_errors(raw)), attribute
