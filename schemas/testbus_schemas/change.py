"""The change that a run tests: what differs from the branch that it goes to, as git says it in the working copy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbus_schemas.events import EventData
from testbus_schemas.model import ClaimedInstant, Model, OpenEnum
from testbus_schemas.wire import (
    MAX_ANCESTORS,
    MAX_CHANGED_FILES,
    MAX_CODEOWNERS_BYTES,
    MAX_COMMIT_TEXT,
    MAX_COMMITS,
    MAX_FUNCTIONS,
)

#: A full commit id.
CommitId = Annotated[str, Field(min_length=4, max_length=64)]


class ChangeKind(OpenEnum):
    """What became of a file."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"
    COPIED = "copied"
    #: Its type changed: a file became a link, …
    TYPE_CHANGED = "type_changed"
    #: A value that a newer producer knows and this code does not.
    UNKNOWN = "unknown"


class Commit(Model):
    """One commit since the merge base."""

    #: Full commit id.
    id: CommitId
    #: Name of its author; an address only where TESTBUS_AUTHORS=email asks for it.
    author: str = Field(default="", max_length=MAX_COMMIT_TEXT)
    #: First line of its message, redacted.
    subject: str = Field(default="", max_length=MAX_COMMIT_TEXT)
    #: When its author wrote it, by his own clock.
    at: ClaimedInstant | None = None


class ChangedFile(Model):
    """One file that differs."""

    #: Path relative to the repository, with forward slashes; of a deleted file where it was.
    path: str = Field(min_length=1, max_length=4096)
    #: Where it was before it was renamed or copied; None for any other.
    old_path: str | None = Field(default=None, max_length=4096)
    #: What became of it.
    kind: ChangeKind = ChangeKind.MODIFIED
    #: Lines that are new or changed, as `1-5,8`; see `coverage.parse_lines`.
    added: str = ""
    #: Functions and methods with such lines: of Python qualified names, of other languages what git takes for one.
    functions: tuple[str, ...] = Field(default=(), max_length=MAX_FUNCTIONS)


class ChangeRecorded(EventData):
    """What a run's tree changes: of several the one with the smallest producer id holds."""

    #: The commit that is checked out; for a pull request often a trial merge, while `context.commit` is its head.
    tree: CommitId
    #: Branch or commit that it is compared with; None where nobody named one and none was found.
    target: str | None = Field(default=None, max_length=256)
    #: Best common ancestor of tree and target; of a run of the target itself, which would be its own, the first parent
    #: of its tree. None where the working copy does not have it.
    merge_base: CommitId | None = None
    #: First parents of the tree, nearest first.
    ancestors: tuple[CommitId, ...] = Field(default=(), max_length=MAX_ANCESTORS)
    #: First parents of the merge base, nearest first; where that is not known, the target's commit and its.
    target_ancestors: tuple[CommitId, ...] = Field(default=(), max_length=MAX_ANCESTORS)
    #: Commits since the merge base, newest first; merges are left out.
    commits: tuple[Commit, ...] = Field(default=(), max_length=MAX_COMMITS)
    #: Files that differ from the merge base, by path.
    files: tuple[ChangedFile, ...] = Field(default=(), max_length=MAX_CHANGED_FILES)
    #: Text of CODEOWNERS; None where there is none.
    codeowners: str | None = Field(default=None, max_length=MAX_CODEOWNERS_BYTES)
    #: Whether the working copy lacks a part of its history.
    shallow: bool = False
    #: What is left out, and why, for people; empty when nothing is.
    cut: tuple[str, ...] = ()
