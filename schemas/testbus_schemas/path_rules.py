"""Rules by which paths of one machine become paths of the repository; for what was measured elsewhere."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class PathRules:
    """An ordered list of rules; of several that hold the first is taken."""

    def __init__(self, rules: Iterable[tuple[str, str]] = ()) -> None:
        """Take pairs of a folder where something was measured and the folder of the repository that it is.

        `*` in the former stands for any part of one name, as in `/home/runner/work/*/*`; the latter is relative, and
        empty or `.` for the repository itself.
        """
        self._rules = [(_pattern(measured), placed.replace("\\", "/").strip("/")) for measured, placed in rules]

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._rules)

    def apply(self, path: str) -> str | None:
        """Return where a path, which has forward slashes, is in the repository; None when no rule holds."""
        for pattern, placed in self._rules:
            match = pattern.match(path)
            if match:
                return posixpath.normpath(posixpath.join(placed, path[match.end() :]))
        return None


def _pattern(measured: str) -> re.Pattern[str]:
    plain = measured.strip().replace("\\", "/").rstrip("/")
    return re.compile(re.escape(plain).replace(r"\*", "[^/]*") + "/")
