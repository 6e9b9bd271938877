"""Which runs something is about: the same keys, by the same rules, wherever the configuration says it."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from pydantic import Field

from testbus_consumers.settings import Section

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_schemas import RunContext


#: One token of a glob, and the regular expression that it stands for; `**/` may also be nothing.
_TOKENS = (("**/", "(?:.*/)?"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]"))


def matches_path(path: str, globs: Iterable[str]) -> bool:
    """Tell whether a path (forward slashes) matches any glob: `*` stays within a folder, `**` does not.

    A glob that ends with `/` means everything below that folder.
    """
    return any(_compiled(glob).fullmatch(path) for glob in globs)


def matches_name(name: str | None, globs: Iterable[str]) -> bool:
    """Tell whether a name (of a branch, a stage, …) matches any glob: `*` means anything; no name matches none."""
    return name is not None and any(fnmatchcase(name, glob) for glob in globs)


@cache
def _compiled(glob: str) -> re.Pattern[str]:
    rest = glob.removeprefix("./") + ("**" if glob.endswith("/") else "")
    pattern = ""
    while rest:
        token, expression = next(
            ((token, expression) for token, expression in _TOKENS if rest.startswith(token)),
            (rest[0], re.escape(rest[0])),
        )
        pattern += expression
        rest = rest[len(token) :]
    return re.compile(pattern, re.DOTALL)


#: Globs of names: `*` means anything.
Globs = Annotated[tuple[str, ...], Field(min_length=1)]

#: Field of a run's context → key of the filter.
_KEYS: Final = {"project": "projects", "stage": "stages", "suite": "suites", "branch": "branches"}


class Mismatch(NamedTuple):
    """One filter that does not let a run through."""

    #: What of the run it looks at: project, stage, suite or branch.
    field: str
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
