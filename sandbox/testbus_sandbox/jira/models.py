"""What a Jira of the sandbox holds, as immutable data for tests, the demo and pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.jira import adf

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
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


#: The user of the sandbox.
DISPLAY_NAME: Final = "testbus"

#: System fields that `GET field` lists: id → (name, names in JQL).
SYSTEM_FIELDS: Final = {
    "summary": ("Summary", ("summary",)),
    "description": ("Description", ("description",)),
    "labels": ("Labels", ("labels",)),
    "status": ("Status", ("status",)),
    "issuetype": ("Issue Type", ("issuetype", "type")),
    "project": ("Project", ("project",)),
    "created": ("Created", ("created", "createdDate")),
    "updated": ("Updated", ("updated", "updatedDate")),
    "comment": ("Comment", ("comment",)),
    "resolutiondate": ("Resolved", ("resolutiondate", "resolved")),
    "statuscategorychangedate": ("Status Category Changed", ("statusCategoryChangedDate",)),
}


class Payloads:
    """Writes JSON for one version of the API at one address."""

    def __init__(self, root: str, version: str, flavour: str) -> None:
        """Take the address, as `http://127.0.0.1:40003`, the version (`2`, `3` or `latest`) and the product."""
        self._base = f"{root}/rest/api/{version}"
        self._documents = version == "3"
        self._flavour = flavour

    def issue(self, issue: Issue, wanted: Collection[str]) -> dict[str, Any]:
        """Return an issue with the fields that are wanted (`*all`, `*navigable` or names); none: only its id."""
        if not wanted:
            return {"id": issue.id}
        fields = self._fields(issue)
        everything = not {"*all", "*navigable"}.isdisjoint(wanted)
        shown = {name: value for name, value in fields.items() if everything or name in wanted}
        return {"expand": "names,schema", **self.reference(issue), "fields": shown}

    def reference(self, issue: Issue) -> dict[str, Any]:
        """Return what an issue is known by."""
        return {"id": issue.id, "key": issue.key, "self": f"{self._base}/issue/{issue.id}"}

    def comment(self, issue: Issue, comment: Comment) -> dict[str, Any]:
        """Return a comment."""
        return {
            "self": f"{self._base}/issue/{issue.id}/comment/{comment.id}",
            "id": comment.id,
            "author": self.user(),
            "body": self._rich(comment.body),
            "created": moment(comment.created),
            "updated": moment(comment.updated),
        }

    def link(self, issue: Issue, link: RemoteLink, *, short: bool = False) -> dict[str, Any]:
        """Return a remote link; `short` as it is answered to whoever made it."""
        answer: dict[str, Any] = {"id": int(link.id), "self": f"{self._base}/issue/{issue.key}/remotelink/{link.id}"}
        if short:
            return answer
        return answer | {"object": link.object} | ({"globalId": link.global_id} if link.global_id else {})

    def transition(self, status: Status) -> dict[str, Any]:
        """Return the transition to a status."""
        return {"id": status.id, "name": status.name, "to": self.status(status)}

    def status(self, status: Status) -> dict[str, Any]:
        """Return a status."""
        category = {"id": int(status.category.id), "key": status.category.key, "name": status.category.name}
        return {
            "self": f"{self._base}/status/{status.id}",
            "id": status.id,
            "name": status.name,
            "statusCategory": category,
        }

    def project(self, project: Named) -> dict[str, Any]:
        """Return a project with its issue types."""
        kinds = [self.issue_type(kind) for kind in ISSUE_TYPES]
        return {**self._named("project", project), "key": project.key, "issueTypes": kinds}

    def issue_type(self, kind: Named) -> dict[str, Any]:
        """Return an issue type."""
        return {**self._named("issuetype", kind), "subtask": False}

    def user(self) -> dict[str, Any]:
        """Return the only user."""
        identity = {"accountId": "sandbox:1"} if self._flavour == "cloud" else {"name": "testbus", "key": "JIRAUSER1"}
        return {**identity, "displayName": DISPLAY_NAME, "active": True}

    def create_fields(self, required: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return what a new issue takes: fields with name and whether they are required."""
        names = {"summary": "Summary", "description": "Description", "labels": "Labels"} | dict(required)
        needed = {"summary", *required}
        return [
            {"fieldId": name, "key": name, "name": label, "required": name in needed, "hasDefaultValue": False}
            for name, label in names.items()
        ]

    def field_list(self, custom: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return every field."""
        system = [
            {"id": name, "key": name, "name": label, "custom": False, "clauseNames": list(clauses)}
            for name, (label, clauses) in SYSTEM_FIELDS.items()
        ]
        return system + [
            {"id": name, "key": name, "name": label, "custom": True, "clauseNames": [f"cf[{name[12:]}]", label]}
            for name, label in custom.items()
        ]

    def _fields(self, issue: Issue) -> dict[str, Any]:
        comments = [self.comment(issue, comment) for comment in issue.comments]
        moved = None if self._flavour != "cloud" else moment(issue.moved)
        return {
            **issue.fields,
            "summary": issue.summary,
            "description": self._rich(issue.description),
            "labels": list(issue.labels),
            "status": self.status(issue.status),
            "issuetype": self.issue_type(issue.type),
            "project": {**self._named("project", issue.project), "key": issue.project.key},
            "created": moment(issue.created),
            "updated": moment(issue.updated),
            "resolutiondate": None if issue.open else moment(issue.moved),
            **({"statuscategorychangedate": moved} if moved else {}),
            "creator": self.user(),
            "comment": {"comments": comments, "total": len(comments), "startAt": 0, "maxResults": len(comments)},
        }

    def _rich(self, value: str | Mapping[str, Any] | None) -> object:
        if value is None or isinstance(value, str) != self._documents:
            return value
        return adf.document(value) if isinstance(value, str) else adf.text(value)

    def _named(self, kind: str, one: Named) -> dict[str, Any]:
        return {"self": f"{self._base}/{kind}/{one.id}", "id": one.id, "name": one.name}


def moment(value: datetime) -> str:
    """Return an instant as Jira writes it: `2026-11-20T11:13:26.123+0000`."""
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}+0000"


def faults(messages: Iterable[str], fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of an error."""
    return {"errorMessages": list(messages), "errors": dict(fields)}
