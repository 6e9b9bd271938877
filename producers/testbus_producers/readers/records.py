"""What readers take and give."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo
    from pathlib import Path

    from testbus_producers.text import Cleaner


#: A drive of Windows in the path of a `file://` address.
_DRIVE: Final = re.compile(r"/[A-Za-z]:[\\/]")


@dataclass(frozen=True, kw_only=True)
class How:
    """How reports are read."""

    #: Folder to which paths are made relative, absolute: the project's.
    root: Path
    #: Redacts and bounds every text.
    clean: Cleaner
    #: Redacts, for texts that are bounded otherwise.
    redact: Callable[[str], str]
    #: Whose captured output goes along; see `settings.OUTPUT_POLICIES`.
    output: str = "failed"
    #: Zone of times that have none; None: UTC for the tools that are known to mean it, else this machine's.
    zone: tzinfo | None = None


class Record(NamedTuple):
    """One thing that a report says."""

    #: What it is: one of the kinds of `testbus_producers.events`.
    kind: bytes
    #: A result, a file's coverage or an attachment, as plain JSON data.
    data: dict[str, Any]


@dataclass(kw_only=True)
class Report:
    """What a file turned out to be; a reader fills it in while its records are taken."""

    #: The file.
    path: Path
    #: What wrote it: pytest, surefire, …, or `junit`; for coverage the tool and its version.
    tool: str = ""
    #: When the first test began, in seconds since 1970; None when the report does not say.
    started: float | None = None
    #: When the last one ended.
    ended: float | None = None

    def saw(self, began: float, seconds: float) -> None:
        """Note when a test ran."""
        self.started = began if self.started is None else min(self.started, began)
        self.ended = began + seconds if self.ended is None else max(self.ended, began + seconds)


def relative(path: str, root: Path) -> str:
    """Return a path as a report names it, with forward slashes, relative to `root` when it lies inside it."""
    plain = path
    if plain.lower().startswith("file://"):
        plain = unquote(plain[len("file://") :])
        plain = plain[1:] if _DRIVE.match(plain) else plain
    plain = posixpath.normpath(plain.replace("\\", "/")) if plain else plain
    inside = root.as_posix().rstrip("/") + "/"
    return plain.removeprefix(inside)
