"""Durations and instants as reports write them: in several ways, and wrongly."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import tzinfo

#: Instants outside of these years are a tool's way to say that it does not know (GoogleTest: 1970).
_YEARS: Final = range(1971, 9998)

#: Seconds above which a duration is none that makes sense: ten years.
_MOST_S: Final = 10 * 366 * 86400

#: The end of those years, in seconds since 1970.
LATEST: Final = datetime(_YEARS.stop, 1, 1, tzinfo=UTC).timestamp()

#: Seconds of each unit by which durations are written.
_UNITS: Final = {
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nanoseconds"), 1e-9),
}

#: `1:02:03.5`, `02:03`, and .NET's `1.02:03:04.5`, whose first number is days.
_CLOCK = re.compile(r"(?:(\d+)\.)?(?:(\d+):)?(\d+):(\d+(?:[.,]\d+)?)")

#: `PT1H2M3.5S` (ISO 8601).
_ISO = re.compile(r"(?i)P(?:([\d.,]+)D)?(?:T(?:([\d.,]+)H)?(?:([\d.,]+)M)?(?:([\d.,]+)S)?)?")

#: `12 ms`, `1m2.5s`, `2 min 3 s`.
_MEASURE = re.compile(r"([\d.,]+) ?([a-zA-Zµμ]+)")

#: `20 Nov 2026 13:01:11 GMT`, with a day of the week or without (RFC 1123; TestNG).
_RFC_1123 = re.compile(r"(?:[A-Za-z]{3},? )?\d{1,2} [A-Za-z]{3} \d{4} ")


def seconds(text: str | None, *, thousands: bool = False) -> float:
    """Return a duration in seconds; 0 when there is none, or none that makes sense.

    A number alone is seconds; `1:02:03`, `PT1.5S`, `12ms` and `1m2s` are read, too. `1,234.5` and `1.234,5` have
    separators of thousands. Of a comma alone, `thousands` tells what it is: Surefire writes `1,234` for twenty minutes,
    others write `0,5` for half a second.
    """
    plain = (text or "").strip()
    value = _number(plain, thousands=thousands)
    if value is None:
        value = _parts(plain)
    return round(value, 6) if value is not None and 0 < value <= _MOST_S else 0.0


def moment(text: str | None, *, zone: tzinfo | None = None) -> float | None:
    """Return an instant in ISO 8601 or RFC 1123 in seconds since 1970, None when it is none.

    Without a zone of its own it is in `zone`, else this machine's time.
    """
    plain = (text or "").strip()
    try:
        read = parsedate_to_datetime(plain) if _RFC_1123.match(plain) else datetime.fromisoformat(plain)
        if read.year not in _YEARS:
            return None
        if read.tzinfo is None and zone is not None:
            read = read.replace(tzinfo=zone)
        return read.timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _number(text: str, *, thousands: bool) -> float | None:
    plain = text.replace("\xa0", "").replace(" ", "").replace("'", "")
    comma, dot = plain.rfind(","), plain.rfind(".")
    if comma >= 0:
        grouped = dot > comma or (dot < 0 and (thousands or plain.count(",") > 1))
        plain = plain.replace(",", "") if grouped else plain.replace(".", "").replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        return None


def _parts(text: str) -> float | None:
    """Return the sum of a duration's parts; None when it has none."""
    match = _CLOCK.fullmatch(text) or _ISO.fullmatch(text)
    if match and any(match.groups()):
        fields = zip(match.groups(), (86400, 3600, 60, 1), strict=True)
        return sum((_number(value, thousands=False) or 0.0) * unit for value, unit in fields if value)
    if not _MEASURE.sub("", text).strip(" ,") and text:
        parts = [(_number(value, thousands=False), _UNITS.get(unit.lower())) for value, unit in _MEASURE.findall(text)]
        if parts and all(value is not None and unit is not None for value, unit in parts):
            return sum((value or 0.0) * (unit or 0.0) for value, unit in parts)
    return None
