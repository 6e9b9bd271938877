"""Steps and log records: what is read of them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.examples import GROWN, MOMENT
from testbus_schemas import LogLevel, MalformedEventError, ResultsRecorded, decode, encode
from testbus_schemas.wire import MAX_LOGS, MAX_STEP_DEPTH, MAX_STEPS

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
    "fields",
    [
        {"steps": nested(MAX_STEP_DEPTH + 1)},
        {"steps": [STEP | {"steps": [STEP] * MAX_STEPS}]},
        {"logs": [{"time": MOMENT.isoformat(), "message": "x"}] * (MAX_LOGS + 2)},
        {"steps": [STEP | {"name": ""}]},
    ],
    ids=["too deep", "too many steps", "too many logs", "without a name"],
)
def test_what_is_more_is_left_out_of_its_result(fields: dict[str, Any]) -> None:
    """No consumer has to cope with it, and the result itself is read."""
    data = decode(with_result(**fields)).data
    assert isinstance(data, ResultsRecorded)
    (name,) = fields
    result, whole = data.results[0], GROWN["results.recorded-2"].data.results[0]  # type: ignore[attr-defined]
    assert getattr(result, name) == ()
    assert (result.node_id, result.outcome) == (whole.node_id, whole.outcome)


def test_what_no_reader_can_hold_is_refused() -> None:
    """Steps that are nested hundreds of times."""
    with pytest.raises(MalformedEventError, match="recursion limit"):
        decode(with_result(steps=nested(300)))


def test_a_newer_level_is_unknown() -> None:
    """A level that this code does not know loses no record."""
    record = {"time": MOMENT.isoformat(), "level": "notice", "message": "x"}
    data = decode(with_result(logs=[record])).data
    assert isinstance(data, ResultsRecorded)
    assert data.results[0].logs[0].level is LogLevel.UNKNOWN
