"""The issues of one Jira, and the rules of creating, editing, moving and finding them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.errors import JiraError
from testbus_sandbox.jira import adf
from testbus_sandbox.jira.models import ISSUE_TYPES, PERMISSIONS, STATUSES, Comment, Issue, Named, RemoteLink, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_sandbox.jira.jql import Query


#: Characters of a summary, of a label, and of rich text, at most.
SUMMARY_CHARS: Final = 255
LABEL_CHARS: Final = 255
RICH_CHARS: Final = 32_767

#: Fields on the screens of every project.
SYSTEM: Final = ("project", "issuetype", "summary", "description", "labels", "priority", "components", "environment")

#: What API 3 says of rich text that is no document.
NO_DOCUMENT: Final = "Operation value must be an Atlassian Document (see the Atlassian Document Format)"

#: What API 2 says of rich text that is no text.
NO_STRING: Final = "Operation value must be a string"

_TOO_LONG: Final = "The entered text is too long. It exceeds the allowed limit of 32,767 characters."


def project_of(given: Mapping[str, Any], projects: Mapping[str, Named]) -> Named:
    """Return the project that is named by key or id; raise JiraError 400."""
    wanted = given.get("project")
    wanted = wanted if isinstance(wanted, Mapping) else {}
    for one in projects.values():
        if one.key == wanted.get("key") or one.id == str(wanted.get("id")):
            return one
    raise JiraError(400, project="valid project is required")


def issue_type(given: Mapping[str, Any]) -> Named:
    """Return the issue type that is named by name or id; raise JiraError 400."""
    wanted = given.get("issuetype")
    wanted = wanted if isinstance(wanted, Mapping) else {}
    for one in ISSUE_TYPES:
        if one.name == wanted.get("name") or one.id == str(wanted.get("id")):
            return one
    raise JiraError(400, issuetype="valid issue type is required")


def comment_body(body: Any, *, documents: bool) -> str | Mapping[str, Any]:
    """Return a comment's body; raise JiraError 400."""
    if not body:
        raise JiraError(400, comment="Comment body can not be empty!")
    if (fault := _rich_fault(body, documents=documents)) is not None:
        raise JiraError(400, comment="Comment body is not valid!" if documents and fault == NO_DOCUMENT else fault)
    return body  # type: ignore[no-any-return] # checked above


def check(
    given: Mapping[str, Any], *, known: Collection[str], required: Mapping[str, str], documents: bool, creating: bool
) -> dict[str, Any]:
    """Return the fields of an issue that were given; raise JiraError 400 with every fault.

    `known` are custom fields that are on the screens, `required` those that must have a value (id → name).
    """
    faults = {
        name: f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
        for name in given
        if name not in SYSTEM and name not in known
    }
    faults |= {name: f"{label} is required." for name, label in required.items() if not given.get(name)}
    if "summary" in given or creating:
        faults |= _named("summary", _summary_fault(given.get("summary")))
    if given.get("description") is not None:
        faults |= _named("description", _rich_fault(given["description"], documents=documents))
    if given.get("labels") is not None:
        faults |= _named("labels", _labels_fault(given["labels"]))
    if faults:
        raise JiraError(400, **faults)
    values: dict[str, Any] = {name: given[name] for name in ("summary", "description") if name in given}
    if "labels" in given:
        values["labels"] = tuple(dict.fromkeys(given["labels"] or ()))
    special = {"project", "issuetype", "summary", "description", "labels"}
    return values | {"fields": {name: value for name, value in given.items() if name not in special}}


def _named(name: str, fault: str | None) -> dict[str, str]:
    return {} if fault is None else {name: fault}


def _summary_fault(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return "You must specify a summary of the issue."
    if "\n" in value or "\r" in value:
        return "The summary is invalid because it contains newline characters."
    return f"Summary must be less than {SUMMARY_CHARS} characters." if _characters(value) > SUMMARY_CHARS else None


def _labels_fault(value: object) -> str | None:
    if not isinstance(value, list) or not all(isinstance(label, str) and label for label in value):
        return "Operation value must be an array of strings"
    for label in value:
        if any(character.isspace() for character in label):
            return f"The label '{label}' contains spaces which is invalid."
        if len(label) > LABEL_CHARS:
            return f"The label '{label[:20]}…' exceeds the maximum length of {LABEL_CHARS} characters."
    return None


def _rich_fault(value: object, *, documents: bool) -> str | None:
    if documents and not adf.valid(value):
        return NO_DOCUMENT
    if not documents and not isinstance(value, str):
        return NO_STRING
    length = _characters(json.dumps(value, ensure_ascii=False) if documents else str(value))
    return _TOO_LONG if length > RICH_CHARS else None


def _characters(text: str) -> int:
    """Return the characters that Java counts: those beyond the basic plane, such as emoji, are two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


#: What Jira says of an issue that is not there, or not to be seen.
_NO_ISSUE: Final = "Issue does not exist or you do not have permission to see it."


@dataclass(slots=True)
class Tracker:
    """One Jira; every method may be called from any thread."""

    #: Projects by key.
    projects: dict[str, Named]
    #: Whether rich text has to be an Atlassian document or markup is decided per request; this names the product.
    flavour: str
    #: Returns the present as seconds since 1970.
    clock: Callable[[], float] = time.time
    #: Seconds until a search sees what was written.
    lag_s: float = 0.0
    #: Fields that a new issue must have: (project key, issue type name) → field id → its name.
    required: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    #: What the user may do.
    permissions: set[str] = field(default_factory=lambda: set(PERMISSIONS))
    #: Whether an issue can leave a status of the category Done.
    can_reopen: bool = True
    _issues: dict[str, Issue] = field(default_factory=dict)
    _index: dict[str, list[tuple[float, Issue | None]]] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(10001))
    _numbers: dict[str, int] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Every issue as it is now, the oldest first."""
        with self._lock:
            return tuple(self._issues.values())

    @property
    def now(self) -> datetime:
        """The present."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def allowed(self, permission: str, error: JiraError) -> None:
        """Raise the error unless the user has the permission."""
        if permission not in self.permissions:
            raise error

    def project(self, key: str) -> Named:
        """Return the project of a key or an id; raise JiraError 404."""
        for project in self.projects.values():
            if key in (project.key, project.id) and "BROWSE_PROJECTS" in self.permissions:
                return project
        raise JiraError(404, f"No project could be found with key '{key}'.")

    def issue(self, key: str) -> Issue:
        """Return the issue of a key or an id; raise JiraError 404."""
        with self._lock:
            found = self._issues.get(key) or next((one for one in self._issues.values() if one.id == key), None)
            if found is None or "BROWSE_PROJECTS" not in self.permissions:
                raise JiraError(404, _NO_ISSUE)
            return found

    def create(self, given: Mapping[str, Any], *, documents: bool) -> Issue:
        """Create an issue of the fields of a request; raise JiraError 400 or 403."""
        with self._lock:
            project = project_of(given, self.projects)
            self.allowed(
                "CREATE_ISSUES", JiraError(403, "You do not have permission to create issues in this project.")
            )
            kind = issue_type(given)
            required = self.required.get((project.key, kind.name), {})
            known = {name for fields in self.required.values() for name in fields}
            values = check(given, known=known, required=required, documents=documents, creating=True)
            self._numbers[project.key] = number = self._numbers.get(project.key, 0) + 1
            now = self.now
            issue = Issue(
                id=str(next(self._ids)),
                key=f"{project.key}-{number}",
                project=project,
                type=kind,
                created=now,
                updated=now,
                moved=now,
                **values,
            )
            return self._keep(issue)

    def edit(self, key: str, given: Mapping[str, Any], *, documents: bool) -> Issue:
        """Change fields of an issue; raise JiraError 400, 403 or 404."""
        with self._lock:
            issue = self.issue(key)
            self.allowed("EDIT_ISSUES", JiraError(403, "You do not have permission to edit issues in this project."))
            known = {name for fields in self.required.values() for name in fields}
            values = check(given, known=known, required={}, documents=documents, creating=False)
            other = {**issue.fields, **values.pop("fields")}
            return self._keep(replace(issue, **values, fields=other, updated=self.now, edits=issue.edits + 1))

    def comment(self, key: str, body: Any, *, documents: bool) -> Comment:
        """Add a comment; raise JiraError 400, 403 or 404."""
        with self._lock:
            issue = self.issue(key)
            refusal = "You do not have the permission to comment on this issue."
            denied = JiraError(403, refusal) if self.flavour == "cloud" else JiraError(400, comment=refusal)
            self.allowed("ADD_COMMENTS", denied)
            body = comment_body(body, documents=documents)
            comment = Comment(id=str(next(self._ids)), body=body, created=self.now, updated=self.now)
            self._keep(replace(issue, comments=(*issue.comments, comment), updated=self.now))
            return comment

    def change_comment(self, key: str, comment_id: str, body: Any, *, documents: bool) -> Comment:
        """Replace the body of a comment; raise JiraError 400 or 404."""
        with self._lock:
            issue = self.issue(key)
            changed = replace(
                self.find_comment(key, comment_id), body=comment_body(body, documents=documents), updated=self.now
            )
            comments = tuple(changed if one.id == comment_id else one for one in issue.comments)
            self._keep(replace(issue, comments=comments, updated=self.now))
            return changed

    def find_comment(self, key: str, comment_id: str) -> Comment:
        """Return a comment; raise JiraError 404."""
        for comment in self.issue(key).comments:
            if comment.id == comment_id:
                return comment
        raise JiraError(404, f"Can not find a comment for the id: {comment_id}.")

    def link(self, key: str, data: Mapping[str, Any]) -> tuple[RemoteLink, bool]:
        """Add a remote link, or replace the one with the same globalId; return it and whether it is new."""
        with self._lock:
            issue = self.issue(key)
            self.allowed("LINK_ISSUES", JiraError(403, "No Link Issue Permission for issue."))
            target = data.get("object")
            if not isinstance(target, Mapping) or not target.get("url") or not target.get("title"):
                missing = "url" if not isinstance(target, Mapping) or not target.get("url") else "title"
                raise JiraError(400, **{missing: f"'{missing}' is required."})
            given = data.get("globalId")
            same = next((one for one in issue.links if given and one.global_id == given), None)
            link = RemoteLink(id=same.id if same else str(next(self._ids)), object=dict(target), global_id=given)
            others = tuple(one for one in issue.links if one is not same)
            self._keep(replace(issue, links=(*others, link)))
            return link, same is None

    def transitions(self, key: str) -> tuple[Status, ...]:
        """Return the statuses that an issue can be moved to; none for who may not."""
        issue = self.issue(key)
        if "TRANSITION_ISSUES" not in self.permissions or (not issue.open and not self.can_reopen):
            return ()
        return tuple(status for status in STATUSES if status is not issue.status)

    def move(self, key: str, status_id: str) -> Issue:
        """Move an issue to a status; raise JiraError 400 or 404."""
        with self._lock:
            wanted = next((status for status in self.transitions(key) if status.id == status_id), None)
            if wanted is None:
                raise JiraError(400, f"Transition id '{status_id}' is not valid for this issue.")
            return self._keep(replace(self.issue(key), status=wanted, updated=self.now, moved=self.now))

    def close(self, key: str) -> Issue:
        """Do what a person does who has repaired it: move the issue to Done."""
        with self._lock:
            return self._keep(replace(self._issues[key], status=STATUSES[-1], updated=self.now, moved=self.now))

    def delete(self, key: str) -> None:
        """Do what a person does who does not want it."""
        with self._lock:
            del self._issues[key]
            self._index[key].append((self.clock() + self.lag_s, None))

    def search(self, query: Query, fresh: Iterable[str] = ()) -> list[Issue]:
        """Return what a search finds: as it was `lag_s` ago, but for the ids in `fresh`; raise JiraError 400."""
        for clause in query.clauses:
            if clause.field == "project" and clause.value.upper() not in self._visible():
                raise JiraError(400, f"The value '{clause.value}' does not exist for the field 'project'.")
        fresh = set(fresh)
        with self._lock:
            now = self.clock()
            seen = [self._indexed(key, now) for key in self._index]
            current = {one.id: one for one in self._issues.values() if one.id in fresh}
        found = {one.id: one for one in seen if one is not None and "BROWSE_PROJECTS" in self.permissions} | current
        return query.run(found.values())

    def _visible(self) -> set[str]:
        visible = self.projects.values() if "BROWSE_PROJECTS" in self.permissions else ()
        return {name.upper() for project in visible for name in (project.key, project.name, project.id)}

    def _indexed(self, key: str, now: float) -> Issue | None:
        versions = self._index[key]
        shown = None
        while versions and versions[0][0] <= now:
            shown = versions.pop(0)
        if shown is not None:
            versions.insert(0, shown)
        return shown[1] if shown else None

    def _keep(self, issue: Issue) -> Issue:
        self._issues[issue.key] = issue
        self._index.setdefault(issue.key, []).append((self.clock() + self.lag_s, issue))
        return issue
