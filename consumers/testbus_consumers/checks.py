"""What a consumer finds when it looks whether its target can be used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How good what was found is."""

    OK = "ok"
    #: It works, and a person should know something all the same.
    WARNING = "warning"
    #: Nothing can be reported until this is put right.
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    #: What, as `credentials`.
    what: str
    #: How good it is.
    level: Level
    #: What was found, and what to do where it is not ok.
    detail: str
