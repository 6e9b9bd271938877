"""Reads the fields of a request body as service-api's Jackson and Bean Validation do.

What Jackson cannot convert refuses the request at once (`JSON parse error`); what validation does not like is
collected, so that one answer names every bad field. Unknown fields are ignored, scalars become text, `null` for a
primitive boolean is false.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.reportportal.models import Attribute
from testbus_sandbox.reportportal.refusals import INCORRECT_REQUEST, refuse

if TYPE_CHECKING:
    from collections.abc import Collection

    from testbus_sandbox.errors import ReportPortalError


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


#: Most attributes in one request.
MAX_ATTRIBUTES: Final = 256

#: What validation says of a text that is missing, blank, too long or not among the allowed ones.
NULL: Final = "Field '{}' should not be null."
BLANK: Final = "Field '{}' should not contain only white spaces and shouldn't be empty."
SIZE: Final = "Field '{}' should have size from '{}' to '{}'."
NOT_ALLOWED: Final = "Value is not allowed for field '{}'."


def unreadable(why: str) -> ReportPortalError:
    """Return the error for a body that Jackson cannot read."""
    return refuse(INCORRECT_REQUEST, f"JSON parse error: {why}")


def length(text: str) -> int:
    """Return how long Java finds a text: in UTF-16 units, of which an emoji has two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


class Body:
    """One JSON object of a request; call `check` when every field was read."""

    def __init__(self, data: Any, path: str = "") -> None:
        """Take the parsed JSON; raise ReportPortalError unless it is an object."""
        if not isinstance(data, dict):
            raise unreadable("Cannot deserialize value: an object is expected")
        self._data: dict[str, Any] = data
        self._path = path
        self._violations: list[str] = []

    def check(self) -> None:
        """Raise one ReportPortalError that names every bad field, if there is one."""
        if self._violations:
            raise refuse(INCORRECT_REQUEST, " ".join(f"[{violation}]" for violation in self._violations))

    def violated(self, message: str, name: str, *more: object) -> None:
        """Note that a field breaks a constraint."""
        for value in (self._path + name, *more):
            message = message.replace("{}", str(value), 1)
        self._violations.append(message)

    def raw(self, name: str, *aliases: str) -> Any:
        """Return the value of the field, or None."""
        for key in (name, *aliases):
            value = self._data.get(key)
            if value is not None:
                return value
        return None

    def text(self, name: str, *aliases: str, required: bool = False, longest: int | None = None) -> str | None:
        """Return the field as text; with `required` it may not be null, with `longest` not longer."""
        value = self.raw(name, *aliases)
        if value is None:
            if required:
                self.violated(NULL, name)
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str | int | float):
            raise unreadable(f"Cannot deserialize value of type `java.lang.String` for field '{name}'")
        text = str(value)
        if longest is not None and length(text) > longest:
            self.violated(SIZE, name, 0, longest)
        return text

    def name(self, longest: int) -> str:
        """Return the field `name`: not blank, 1 to `longest` characters, trimmed."""
        return self.sized("name", 1, longest)

    def sized(self, name: str, shortest: int, longest: int) -> str:
        """Return a field that is required, not blank, and from `shortest` to `longest` UTF-16 units long; trimmed."""
        value = self.text(name, required=True)
        if value is None:
            return ""
        if not value.strip():
            self.violated(f"{BLANK} {SIZE.replace('{}', self._path + name, 1)}", name, shortest, longest)
        elif not shortest <= length(value) <= longest:
            self.violated(SIZE, name, shortest, longest)
        return value.strip()

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return the field as boolean: absent means `default`, null means false."""
        if name not in self._data:
            return default
        value = self._data[name]
        if value is None:
            return False
        if isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value != 0
        if isinstance(value, str) and value.lower() in {"true", "false", ""}:
            return value.lower() == "true"
        raise unreadable(f"Cannot deserialize value of type `boolean` for field '{name}'")

    def time(self, name: str, *aliases: str) -> datetime:
        """Return the required instant; a time that cannot be read refuses the request at once."""
        value = self.raw(name, *aliases)
        if value is None:
            self.violated(NULL, name)
            return EPOCH
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise unreadable(f"Unable to parse date: {value}")
        try:
            return parse(value)
        except ValueError as error:
            raise unreadable(str(error)) from None

    def choice(self, name: str, allowed: Collection[str], *, required: bool = False) -> str | None:
        """Return the field in upper case; it must be one of `allowed` (upper case), in any case of letters."""
        value = self.text(name, required=required)
        if value is None:
            return None
        if value.upper() not in allowed:
            self.violated(NOT_ALLOWED, name)
        return value.upper()

    def objects(self, name: str, *aliases: str) -> list[Body] | None:
        """Return the field's list of objects, or None."""
        value = self.raw(name, *aliases)
        if value is None:
            return None
        if not isinstance(value, list):
            raise unreadable(f"Cannot deserialize value for field '{name}': an array is expected")
        bodies = [Body(entry, f"{self._path}{name}[].") for entry in value]
        for body in bodies:
            body._violations = self._violations  # noqa: SLF001 - one answer names the bad fields of all parts
        return bodies

    def attributes(self) -> tuple[Attribute, ...] | None:
        """Return the attributes without duplicates, or None when the request has none."""
        bodies = self.objects("attributes", "tags")
        if bodies is None:
            return None
        found: dict[Attribute, None] = {}
        for body in bodies:
            value = body.text("value")
            if value is None or not value.strip():
                body.violated(BLANK, "value")
            found[Attribute(body.text("key"), value or "", body.flag("system"))] = None
        if len(found) > MAX_ATTRIBUTES:
            self.violated(SIZE, "attributes", 0, MAX_ATTRIBUTES)
        return tuple(found)
