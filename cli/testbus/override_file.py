"""The file of `testbus overrides apply`: which overrides a project has, under review beside its code."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AwareDatetime, Field

from testbus_consumers.errors import SettingsError
from testbus_consumers.settings import Section, parse, read
from testbus_schemas import Override, OverrideKind
from testbus_schemas.identity import derived_id
from testbus_schemas.overrides import OverrideScope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: What `via` says of an override that stands in a file.
VIA: Final = "file"


class _Entry(OverrideScope, Section):
    """One override, as the file says it: what is decided, and for which runs."""

    kind: Literal["waiver", "quarantine", "mute", "acknowledgement"]
    #: A rule, a node id, an alarm; everything where none is named.
    subject: str = Field(default="", max_length=2048)
    reason: str = Field(min_length=1, max_length=2048)
    #: The last day (UTC) on which it holds, or the moment from which it does not.
    until: Annotated[AwareDatetime | date | None, Field(union_mode="left_to_right")] = None

    def override(self, project: str, by: str, now: datetime) -> Override:
        """Return what it says. The id is its digest: an entry that is changed is another override."""
        until = self.until
        if until is not None and not isinstance(until, datetime):
            until = datetime.combine(until, time.max, UTC)
        return Override(
            id=derived_id("override", VIA, project, self.model_dump_json()),
            kind=OverrideKind(self.kind),
            project=project,
            scope=OverrideScope(**self.model_dump(include=set(OverrideScope.model_fields))),
            subject=self.subject,
            by=by,
            via=VIA,
            reason=self.reason,
            since=now,
            until=until,
        )


class _File(Section):
    overrides: tuple[_Entry, ...] = ()


def load(path: Path, project: str, by: str, now: datetime, max_days: int) -> tuple[Override, ...]:
    """Return the overrides of a file, those whose time is over left out.

    Raises SettingsError that names file, line and key of each fault.
    """
    raw, source, faults = read(path)
    made = [entry.override(project, by, now) for entry in parse(_File, raw, source).overrides]
    for index, override in enumerate(made):
        if fault := override.fault(max_days):
            faults.append(source.fault(("overrides", str(index)), f"{fault}: see `until`"))
    if faults:
        raise SettingsError(faults=faults)
    return tuple(override for override in made if override.until is None or now < override.until)


def changes(wanted: Sequence[Override], holding: Sequence[Override], by: str, now: datetime) -> Iterator[Override]:
    """Yield what is to be published for the overrides of the file to hold, and none that has gone from it."""
    held = {override.id: override for override in holding if override.via == VIA}
    yield from (override for override in wanted if override.id not in held)
    named = {override.id for override in wanted}
    for override_id, override in held.items():
        if override_id not in named:
            ended = {"id": derived_id("override", VIA, "end", override_id), "by": by, "since": now, "until": now}
            yield override.model_copy(update={**ended, "ends": override_id, "reason": "gone from the file"})
