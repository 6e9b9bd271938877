"""The base of everything that is on the wire: frozen, keyword-only, tolerant of additions."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, PlainSerializer

if TYPE_CHECKING:
    from datetime import datetime


class OpenEnum(StrEnum):
    """An enumeration that may grow: a value that a newer writer knows reads as its member `UNKNOWN`."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls("unknown") if value != "unknown" else super()._missing_(value)


class Model(BaseModel):
    """Base model: frozen; unknown fields are ignored, so that a newer producer may add some."""

    #: pytest would otherwise try to collect classes whose name begins with Test.
    __test__: ClassVar[bool] = False

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null", allow_inf_nan=False)


def _utc_text(moment: datetime) -> str:
    text = moment.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _tuple_of(value: object) -> object:
    return () if value is None else value


#: An instant: aware, ISO 8601 on the wire.
Instant = Annotated[AwareDatetime, PlainSerializer(_utc_text, return_type=str, when_used="json")]

#: Wraps a sequence field so that an explicit null reads as empty.
NullIsEmpty = BeforeValidator(_tuple_of)
