"""What git says of the working copy: asked off the test thread, and only outside of a CI."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from testbus_producers.build import slug_of_remote

if TYPE_CHECKING:
    from pathlib import Path

#: Bound in seconds of each git command.
_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class WorkingCopy:
    """What git says; None where it says nothing."""

    #: Full commit id of HEAD.
    commit: str | None = None
    #: Branch that is checked out; None when HEAD is detached.
    branch: str | None = None
    #: Slug of the remote `origin`.
    repository: str | None = None


def describe(folder: Path) -> WorkingCopy:
    """Return what git says of the folder; empty without git or outside of a repository."""
    head = _git(folder, "rev-parse", "HEAD", "--abbrev-ref", "HEAD")
    if head is None:
        return WorkingCopy()
    commit, _, branch = head.partition("\n")
    remote = _git(folder, "config", "--get", "remote.origin.url")
    return WorkingCopy(
        commit=commit or None,
        branch=branch if branch not in {"", "HEAD"} else None,
        repository=slug_of_remote(remote) if remote else None,
    )


def is_shallow(folder: Path) -> bool:
    """Tell whether the working copy lacks a part of its history."""
    return _git(folder, "rev-parse", "--is-shallow-repository") == "true"


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 our own arguments
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()
