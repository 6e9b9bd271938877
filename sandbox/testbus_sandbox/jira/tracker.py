"""The issues of one Jira, and the rules of creating, editing, moving and finding them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.errors import JiraError
from testbus_sandbox.jira import fields as reading
from testbus_sandbox.jira.models import PERMISSIONS, STATUSES, Comment, Issue, Named, RemoteLink, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_sandbox.jira.jql import Query

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
            project = reading.project(given, self.projects)
            self.allowed(
                "CREATE_ISSUES", JiraError(403, "You do not have permission to create issues in this project.")
            )
            kind = reading.issue_type(given)
            required = self.required.get((project.key, kind.name), {})
            known = {name for fields in self.required.values() for name in fields}
            values = reading.check(given, known=known, required=required, documents=documents, creating=True)
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
            values = reading.check(given, known=known, required={}, documents=documents, creating=False)
            other = {**issue.fields, **values.pop("fields")}
            return self._keep(replace(issue, **values, fields=other, updated=self.now, edits=issue.edits + 1))

    def comment(self, key: str, body: Any, *, documents: bool) -> Comment:
        """Add a comment; raise JiraError 400, 403 or 404."""
        with self._lock:
            issue = self.issue(key)
            refusal = "You do not have the permission to comment on this issue."
            denied = JiraError(403, refusal) if self.flavour == "cloud" else JiraError(400, comment=refusal)
            self.allowed("ADD_COMMENTS", denied)
            body = reading.comment(body, documents=documents)
            comment = Comment(id=str(next(self._ids)), body=body, created=self.now, updated=self.now)
            self._keep(replace(issue, comments=(*issue.comments, comment), updated=self.now))
            return comment

    def change_comment(self, key: str, comment_id: str, body: Any, *, documents: bool) -> Comment:
        """Replace the body of a comment; raise JiraError 400 or 404."""
        with self._lock:
            issue = self.issue(key)
            changed = replace(
                self.find_comment(key, comment_id), body=reading.comment(body, documents=documents), updated=self.now
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
