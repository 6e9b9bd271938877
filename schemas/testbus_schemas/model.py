"""The base of everything that is on the wire: frozen, keyword-only, tolerant of additions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationInfo,
)

#: Instants of these years are read; others cannot be reckoned with everywhere (time zones, seconds since the epoch).
_YEARS: Final = range(1970, 9999)


#: How far ahead of its reception an instant may be: time zones that were taken for UTC are, and clocks that go wrong.
AHEAD: Final = timedelta(days=1)


@dataclass
class Reception:
    """When something is read: the context of a validation in which no instant may be far ahead of that."""

    #: The reader's clock, in UTC.
    now: datetime
    #: Whether an instant was replaced by it.
    replaced: bool = False
    #: From when on an instant is too far ahead.
    latest: datetime = field(init=False)

    def __post_init__(self) -> None:
        """Reckon once what every instant is held against."""
        self.latest = self.now + AHEAD


class OpenEnum(StrEnum):
    """An enumeration that may grow: a value that a newer writer knows reads as its member `UNKNOWN`."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        # Only text can be a value that a newer writer knows; anything else is a fault of the writer.
        return cls("unknown") if isinstance(value, str) and value != "unknown" else super()._missing_(value)


class Model(BaseModel):
    """Base model: frozen; unknown fields are ignored, so that a newer producer may add some."""

    #: pytest would otherwise try to collect classes whose name begins with Test.
    __test__: ClassVar[bool] = False

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null", allow_inf_nan=False)


def _reckonable(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError(f"the year {moment.year} is not within {_YEARS.start} to {_YEARS.stop - 1}")
    return moment.astimezone(UTC)


def _received(moment: datetime, info: ValidationInfo) -> datetime:
    reception = info.context
    if isinstance(reception, Reception) and moment > reception.latest:
        reception.replaced = True
        return reception.now
    return moment


def _utc_text(moment: datetime) -> str:
    return moment.isoformat().removesuffix("+00:00") + "Z"


def _tuple_of(value: object) -> object:
    return () if value is None else value


#: An instant as somebody's clock said it, however wrong that is: aware, in UTC whatever the writer's offset; ISO 8601
#: on the wire.
ClaimedInstant = Annotated[
    AwareDatetime,
    AfterValidator(_reckonable),
    PlainSerializer(_utc_text, return_type=str, when_used="json"),
]

#: An instant; where it is read with a `Reception`, never more than `AHEAD` after that.
Instant = Annotated[ClaimedInstant, AfterValidator(_received)]

#: Wraps a sequence field so that an explicit null reads as empty.
NullIsEmpty = BeforeValidator(_tuple_of)
