"""Which runs something is about: the same keys, by the same rules, wherever the configuration says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from pydantic import Field

from testbus_consumers.globs import matches_name
from testbus_consumers.settings import Section

if TYPE_CHECKING:
    from testbus_schemas import RunContext

#: Globs of names: `*` means anything.
Globs = Annotated[tuple[str, ...], Field(min_length=1)]

#: Field of a run's context → key of the filter.
_KEYS: Final = {"project": "projects", "stage": "stages", "suite": "suites", "branch": "branches"}


class Mismatch(NamedTuple):
    """One filter that does not let a run through."""

    #: What of the run it looks at: project, stage, suite or branch.
    field: str
    #: Its key.
    key: str
    #: What the run has there, for people: `web`, `branch fix`, `a run without a branch`.
    named: str
    #: What it lets through.
    globs: tuple[str, ...]


class RunFilter(Section):
    """Which runs are meant: all that fit every key which is set; a run that names none fits `*` only."""

    #: Globs of projects; unset: all.
    projects: Globs | None = None
    #: Globs of stages; unset: all.
    stages: Globs | None = None
    #: Globs of suites; unset: all.
    suites: Globs | None = None
    #: Globs of branches; unset: all.
    branches: Globs | None = None

    def mismatches(self, context: RunContext) -> list[Mismatch]:
        """Return the filters that do not let a run through; none when it is meant."""
        found = []
        for field, key in _KEYS.items():
            globs, value = getattr(self, key), getattr(context, field)
            if globs is not None and not matches_name(value or "", globs):
                shown = value if field == "project" else f"{field} {value}"
                found.append(Mismatch(field, key, shown if value else f"a run without a {field}", globs))
        return found
