"""What git says of the working copy: asked off the test thread, and only outside of a CI."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from testbus_producers import settings
from testbus_producers.context.ci import slug_of_remote

#: Bound in seconds of each git command.
_TIMEOUT_S: Final = 2.0

#: What git tells its hooks of.
_HOOK_VARIABLES: Final = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"})


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


@dataclass(frozen=True, kw_only=True)
class Repository:
    """What git keeps."""

    #: Folder of the working copy.
    top: Path
    #: Its files, relative to `top`, with forward slashes.
    files: frozenset[str]


def repository(folder: Path) -> Repository | None:
    """Return the repository that a folder is in; None without git, outside of one, or when git takes too long."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    listed = _git(Path(top), "ls-files", "-z") if top else None
    if not top or not listed:
        return None
    return Repository(top=Path(top), files=frozenset(name for name in listed.split("\0") if name))


def is_shallow(folder: Path) -> bool:
    """Tell whether the working copy lacks a part of its history."""
    return _git(folder, "rev-parse", "--is-shallow-repository") == "true"


def _git(folder: Path, *arguments: str) -> str | None:
    # Within a hook of git variables name that hook's repository, wherever it is asked from.
    environ = {name: value for name, value in settings.environment().items() if name not in _HOOK_VARIABLES}
    # A file system monitor would be a program that the repository names.
    command = ["git", "-C", str(folder), "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 our own arguments
            command, capture_output=True, timeout=_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL, env=environ
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()
