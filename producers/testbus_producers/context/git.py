"""What git says of the working copy: asked off the test thread, each command for a bounded time."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from testbus_producers import clock, settings
from testbus_producers.context.ci import slug_of_remote

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bound in seconds of each git command.
_TIMEOUT_S: Final = 2.0

#: Bound in bytes of what one command may say.
_MAX_OUTPUT: Final = 32 * 1024 * 1024

#: Bound in bytes of what a command is given: less than a pipe holds.
_MAX_INPUT: Final = 32 * 1024

#: Seconds between two looks whether somebody waits.
_LOOK_S: Final = 0.1

#: Bytes that are read at a time.
_CHUNK: Final = 64 * 1024

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
    return Git(folder, seconds=_TIMEOUT_S).text(*arguments)


class Git:
    """Asks git about a folder, with one bound of time for all commands. For one thread."""

    def __init__(self, folder: Path, *, seconds: float, hurry: Callable[[], float | None] | None = None) -> None:
        """Begin now; `hurry` returns how many seconds are left at most once somebody waits, None while nobody does."""
        self._folder = folder
        self._until = clock.monotonic() + seconds
        self._hurry = hurry
        #: Whether the time was over before a command had ended.
        self.late = False
        #: Whether a command had more to say than was wanted.
        self.too_much = False

    def text(self, *arguments: str) -> str | None:
        """Return what git says, without white space around it; None when it fails, or takes too long."""
        output = self.output(*arguments)
        return None if output is None else output.decode("utf-8", "replace").strip()

    def output(self, *arguments: str, given: bytes = b"", most: int = _MAX_OUTPUT) -> bytes | None:
        """Return what git says to what it is `given`, its first `most` bytes; None when it fails, or takes too long."""
        self.late = self.late or self._left() <= 0
        if self.late:
            return None
        # Within a hook of git variables name that hook's repository, wherever it is asked from.
        environ = {name: value for name, value in settings.environment().items() if name not in _HOOK_VARIABLES}
        # A file system monitor, and what shows a signature, would be programs that the repository names. Nothing is
        # fetched, and nobody is asked for a password.
        options = ("-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-c", "log.showSignature=false")
        command = ["git", "-C", str(self._folder), "--no-optional-locks", *options, *arguments]
        environ |= {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
        try:
            process = subprocess.Popen(  # noqa: S603 our own arguments
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
            )
        except OSError:
            return None
        with process:
            output = self._answer(process, given[:_MAX_INPUT], most)
            if output is None or len(output) > most:
                process.kill()
        if output is not None and len(output) > most:
            self.too_much = True
            return output[:most]
        return output if process.returncode == 0 else None

    def _left(self) -> float:
        """Return how many seconds are left."""
        left = self._hurry() if self._hurry is not None else None
        if left is not None:
            self._until, self._hurry = min(self._until, clock.monotonic() + left), None
        return self._until - clock.monotonic()

    def _answer(self, process: subprocess.Popen[bytes], given: bytes, most: int) -> bytes | None:
        """Return what a process says, one byte more than `most` where it says more; None when it takes too long."""
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            # It fits into the pipe, so that nobody waits for anybody.
            process.stdin.write(given)
            process.stdin.close()
        output = bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            while len(output) <= most:
                if not ready.select(min(_LOOK_S, max(0.0, self._left()))):
                    if self._left() > 0:
                        continue
                    self.late = True
                    return None
                chunk = os.read(process.stdout.fileno(), _CHUNK)
                if not chunk:
                    break
                output += chunk
        return bytes(output[: most + 1])
