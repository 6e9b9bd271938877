"""The instants that ReportPortal reads and writes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from testbus_sandbox.reportportal import fields

MOMENT = datetime(2026, 11, 20, 11, 13, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1795173206000, MOMENT),
        ("1795173206000", MOMENT),
        ("1795173206123", MOMENT.replace(microsecond=123000)),
        ("Fri, 20 Nov 2026 11:13:26 GMT", MOMENT),
        ("2026-11-20T11:13:26Z", MOMENT),
        ("2026-11-20T13:13:26+02:00", MOMENT),
        ("2026-11-20T11:13:26", MOMENT),
        ("2026-11-20T11:13", MOMENT.replace(second=0)),
        ("2026-11-20 11:13:26", MOMENT),
        ("2026-11-20T11:13:26.123456789Z", MOMENT.replace(microsecond=123456)),
        ("2026-11-20T11:13:26.1", MOMENT.replace(microsecond=100000)),
        ("2026-11-20T11:13:26.123456+0000", MOMENT.replace(microsecond=123456)),
        ("2026-11-20T09:13:26.123-0200", MOMENT.replace(microsecond=123000)),
    ],
)
def test_formats_that_are_read(value: str | int, expected: datetime) -> None:
    """Every format of service-api means the same instant."""
    assert fields.parse(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", "now", "1795173206.5", 1.5, "2026-11-20", "20.11.2026", "2026-11-20T11:13:26+0000", "2026-13-40T11:13:26Z"],
)
def test_formats_that_are_refused(value: str | float) -> None:
    """What service-api cannot read, the sandbox does not read either."""
    with pytest.raises(ValueError, match="Unable to parse date"):
        fields.parse(value)


def test_instants_are_written_in_both_ways() -> None:
    """Milliseconds are cut, ISO 8601 keeps microseconds."""
    moment = MOMENT.replace(microsecond=123999)
    assert fields.epoch_ms(moment) == 1795173206123
    assert fields.iso(moment) == "2026-11-20T11:13:26.123999Z"
