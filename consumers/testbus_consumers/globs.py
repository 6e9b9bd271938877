"""Globs of paths and names, as people write them in the configuration."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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
