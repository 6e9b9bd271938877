"""What a Jira of the sandbox holds, as immutable data for tests, the demo and pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.jira import adf

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Named:
    """A project, an issue type or a status category: what has an id, a key and a name."""

    #: Number, as text.
    id: str
    #: Key, for example `DEMO` or `done`.
    key: str
    #: Name for people.
    name: str


@dataclass(frozen=True, slots=True)
class Status:
    """A status of the workflow."""

    #: Number, as text.
    id: str
    #: Name for people.
    name: str
    #: One of CATEGORIES.
    category: Named


#: The categories of statuses.
CATEGORIES: Final = (
    Named("2", "new", "To Do"),
    Named("4", "indeterminate", "In Progress"),
    Named("3", "done", "Done"),
)

#: The workflow's statuses, the first one for new issues.
STATUSES: Final = tuple(Status(str(10000 + n), category.name, category) for n, category in enumerate(CATEGORIES))

#: The issue types of every project.
ISSUE_TYPES: Final = tuple(Named(str(10001 + n), name.lower(), name) for n, name in enumerate(("Bug", "Task", "Story")))

#: Permissions that the user may have in a project.
PERMISSIONS: Final = (
    "BROWSE_PROJECTS",
    "CREATE_ISSUES",
    "EDIT_ISSUES",
    "ADD_COMMENTS",
    "TRANSITION_ISSUES",
    "LINK_ISSUES",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment on an issue."""

    #: Number, as text.
    id: str
    #: As sent: wiki markup, or an Atlassian document.
    body: str | Mapping[str, Any]
    #: When it was made.
    created: datetime
    #: When it was last changed.
    updated: datetime

    @property
    def text(self) -> str:
        """The body as plain text."""
        return adf.text(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteLink:
    """A link from an issue to a page elsewhere."""

    #: Number, as text.
    id: str
    #: What it was given: `{"url": …, "title": …}`.
    object: Mapping[str, Any]
    #: What tells it from others; None when it was not given.
    global_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One issue, as it is now."""

    #: Number, as text.
    id: str
    #: For example `DEMO-1`.
    key: str
    #: Where it is.
    project: Named
    #: Bug, Task or Story.
    type: Named
    #: Title.
    summary: str
    #: As sent: wiki markup, or an Atlassian document; None when it has none.
    description: str | Mapping[str, Any] | None = None
    #: Labels, in the order they were given.
    labels: tuple[str, ...] = ()
    #: All other fields, as sent.
    fields: Mapping[str, Any] = field(default_factory=dict)
    #: Where it is in the workflow.
    status: Status = STATUSES[0]
    #: When it was made.
    created: datetime
    #: When anything of it last changed.
    updated: datetime
    #: When its status last came into another category.
    moved: datetime
    #: Comments, the oldest first.
    comments: tuple[Comment, ...] = ()
    #: Links to pages elsewhere.
    links: tuple[RemoteLink, ...] = ()
    #: How often its fields were edited.
    edits: int = 0

    @property
    def text(self) -> str:
        """The description as plain text."""
        return adf.text(self.description)

    @property
    def open(self) -> bool:
        """Whether its status is not of the category Done."""
        return self.status.category.key != "done"
