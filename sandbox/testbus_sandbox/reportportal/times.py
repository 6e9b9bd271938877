"""The instants that ReportPortal understands, and how it writes them.

The formats and their order are those of service-api's MultiFormatDateDeserializer: epoch milliseconds as number or
string, RFC 1123, ISO 8601 with or without an offset (none means UTC), `yyyy-MM-dd HH:mm:ss`, and an offset without
a colon after exactly three or six fractional digits. Everything is cut to microseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Final

#: What epoch milliseconds count from.
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: ISO_OFFSET_DATE_TIME and ISO_LOCAL_DATE_TIME: the seconds, the fraction and the offset may be absent.
_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d(?::\d\d)?)?(?:\[[\w/+-]+\])?"
)

#: The two patterns whose offset has no colon; they want exactly three or six fractional digits.
_COMPACT_OFFSET: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)\.(\d{3}|\d{6})([+-]\d{4})")

#: `yyyy-MM-dd HH:mm:ss`, in UTC.
_TIMESTAMP: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")

#: RFC 1123, for example `Tue, 3 Jun 2008 11:05:30 GMT`; the day's name may be absent.
_RFC_1123: Final = re.compile(r"(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d(?::\d\d)? (?:GMT|[+-]\d{4})")

#: Java's Long, as a string.
_LONG: Final = re.compile(r"[+-]?\d{1,19}")


def parse(value: str | float) -> datetime:
    """Return the aware instant that the JSON value means; raise ValueError when ReportPortal would not read it."""
    text = str(value)
    if _LONG.fullmatch(text):
        try:
            return EPOCH + timedelta(milliseconds=int(text))
        except OverflowError:
            raise ValueError(f"Unable to parse date: {text}") from None
    try:
        return _parse_text(text)
    except ValueError:
        raise ValueError(f"Unable to parse date: {text}") from None


def _parse_text(text: str) -> datetime:
    """Parse everything but epoch milliseconds."""
    if match := _COMPACT_OFFSET.fullmatch(text) or _ISO.fullmatch(text):
        minute, second, fraction, offset = match.groups()
        micros = int((fraction or "0").ljust(6, "0")[:6])
        moment = datetime.fromisoformat(f"{minute}:{second or '00'}").replace(microsecond=micros)
        return moment.replace(tzinfo=_offset(offset)).astimezone(UTC)
    if _TIMESTAMP.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    if _RFC_1123.fullmatch(text):
        return parsedate_to_datetime(text).astimezone(UTC)
    raise ValueError(text)


def _offset(text: str | None) -> timezone:
    """Return the zone of `Z`, `+02:00`, `+0200` or nothing."""
    if text is None or text == "Z":
        return UTC
    digits = text[1:].replace(":", "").ljust(6, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:]))
    return timezone(-size if text[0] == "-" else size)


def epoch_ms(moment: datetime) -> int:
    """Return the whole milliseconds since 1970, as ReportPortal's first media type writes instants."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def iso(moment: datetime) -> str:
    """Return the instant as Java's Instant writes it, for example `2026-11-20T11:13:26.123456Z`."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text}Z"
