"""Steps and log records: what is read of them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from testbus_schemas import LogLevel, MalformedEventError, ResultsRecorded, decode, encode
from testbus_schemas.wire import MAX_LOGS, MAX_STEP_DEPTH, MAX_STEPS
from tests.schemas.examples import GROWN, MOMENT

STEP = {"name": "pay", "started_at": MOMENT.isoformat()}


def nested(depth: int) -> list[dict[str, Any]]:
    """Return a step in a step, so many deep."""
    return [STEP | {"steps": nested(depth - 1)}] if depth else []


def with_result(**fields: Any) -> bytes:
    """Return an event whose result has these fields."""
    raw = json.loads(encode(GROWN["results.recorded-2"]).body)
    raw["data"]["results"][0].update(fields)
    return json.dumps(raw).encode()


@pytest.mark.parametrize("steps", [nested(MAX_STEP_DEPTH), [STEP] * MAX_STEPS, None])
def test_as_many_steps_as_there_may_be_are_read(steps: Any) -> None:
    """Up to the bounds that are written down; null is none."""
    data = decode(with_result(steps=steps)).data
    assert isinstance(data, ResultsRecorded)
    assert len(data.results[0].steps) == len(steps or ())


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"steps": nested(MAX_STEP_DEPTH + 1)}, "nested at most 8 deep"),
        ({"steps": [STEP | {"steps": [STEP] * MAX_STEPS}]}, "at most 200 steps"),
        ({"steps": nested(300)}, "recursion limit"),
        ({"logs": [{"time": MOMENT.isoformat(), "message": "x"}] * (MAX_LOGS + 2)}, "at most 501"),
        ({"steps": [STEP | {"name": ""}]}, "steps.0.name"),
    ],
)
def test_what_is_more_is_refused_with_its_place(fields: dict[str, Any], told: str) -> None:
    """No consumer has to cope with a step that is nested a thousand deep."""
    with pytest.raises(MalformedEventError, match=told):
        decode(with_result(**fields))


def test_a_newer_level_is_unknown() -> None:
    """A level that this code does not know loses no record."""
    record = {"time": MOMENT.isoformat(), "level": "notice", "message": "x"}
    data = decode(with_result(logs=[record])).data
    assert isinstance(data, ResultsRecorded)
    assert data.results[0].logs[0].level is LogLevel.UNKNOWN
