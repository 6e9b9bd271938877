"""Durations and instants as reports write them: in several ways, and wrongly."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

#: Instants outside of these years are a tool's way to say that it does not know (GoogleTest: 1970).
_YEARS: Final = range(1971, 9998)


def seconds(text: str | None, *, thousands: bool = False) -> float:
    """Return a duration in seconds; 0 when there is none, or none that makes sense.

    `1,234.5` and `1.234,5` have separators of thousands. Of a comma alone, `thousands` tells what it is: Surefire
    writes `1,234` for twenty minutes, others write `0,5` for half a second.
    """
    plain = (text or "").strip().removesuffix("s").replace("\xa0", "").replace(" ", "").replace("'", "")
    comma, dot = plain.rfind(","), plain.rfind(".")
    if comma >= 0:
        grouped = dot > comma or (dot < 0 and (thousands or plain.count(",") > 1))
        plain = plain.replace(",", "") if grouped else plain.replace(".", "").replace(",", ".")
    try:
        value = float(plain)
    except ValueError:
        return 0.0
    return round(value, 6) if math.isfinite(value) and value > 0 else 0.0


def moment(text: str | None, *, utc: bool = False) -> float | None:
    """Return an ISO 8601 instant in seconds since 1970, None when it is none.

    Without a zone it is UTC when the tool is known to mean that (`utc`), else this machine's time.
    """
    try:
        read = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    if read.year not in _YEARS:
        return None
    if read.tzinfo is None and utc:
        read = read.replace(tzinfo=UTC)
    return read.timestamp()
