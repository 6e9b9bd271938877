"""The REST API, versions 2 and 3 over one store: who may call what, and what it means to the tracker."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from testbus_sandbox.errors import JiraError
from testbus_sandbox.jira import jql, models
from testbus_sandbox.jira.http import PAGE, Api, Call, number, wanted_fields
from testbus_sandbox.jira.models import ISSUE_TYPES, PERMISSIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from testbus_sandbox.jira.tracker import Tracker

    Answer = Callable[[Call], Awaitable[web.Response]]


#: Ids that one search may ask to see as they are now.
MAX_RECONCILED: Final = 50

#: What the body of a search may have.
_PARAMETERS: Final = frozenset(
    {"jql", "startAt", "maxResults", "fields", "expand", "nextPageToken", "reconcileIssues", "validateQuery"}
)

#: https://developer.atlassian.com/changelog/#CHANGE-2046
_GONE: Final = (
    "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. "
    "A full migration guideline is available at https://developer.atlassian.com/changelog/#CHANGE-2046"
)

#: What Cloud says of a query without a restriction.
_UNBOUNDED: Final = "Unbounded JQL queries are not allowed here. Please add a search restriction to your query."


class Searching:
    """The search of one Jira."""

    def __init__(self, tracker: Tracker) -> None:
        """Take the tracker."""
        self._tracker = tracker

    def table(self) -> list[tuple[str, str, Callable[[Call], Awaitable[web.Response]]]]:
        """Return the routes of this product."""
        if self._tracker.flavour != "cloud":
            return [("GET", "search", self._numbered), ("POST", "search", self._numbered)]
        return [
            ("GET", "search/jql", self._tokened),
            ("POST", "search/jql", self._tokened),
            ("GET", "search", self._gone),
            ("POST", "search", self._gone),
        ]

    async def _gone(self, _: Call) -> web.Response:
        raise JiraError(410, _GONE)

    async def _numbered(self, call: Call) -> web.Response:
        given = await _given(call)
        found = self._tracker.search(jql.parse(str(given.get("jql") or "")))
        start, size = number(_text(given, "startAt"), 0), number(_text(given, "maxResults"), PAGE)
        wanted = given["fields"] or ("*navigable",)
        shown = [call.json.issue(issue, wanted) for issue in found[start : start + size]]
        return call.answer({"startAt": start, "maxResults": size, "total": len(found), "issues": shown})

    async def _tokened(self, call: Call) -> web.Response:
        given = await _given(call)
        query = jql.parse(str(given.get("jql") or ""))
        if not query.clauses:
            raise JiraError(400, _UNBOUNDED)
        fresh = [str(one) for one in given["reconcileIssues"]]
        if len(fresh) > MAX_RECONCILED:
            raise JiraError(400, f"reconcileIssues: at most {MAX_RECONCILED} issues.")
        found = self._tracker.search(query, fresh)
        start, size = _place(_text(given, "nextPageToken")), number(_text(given, "maxResults"), PAGE)
        shown = [call.json.issue(issue, given["fields"]) for issue in found[start : start + size]]
        answer: dict[str, Any] = {"issues": shown, "isLast": start + size >= len(found)}
        if not answer["isLast"]:
            answer["nextPageToken"] = base64.b64encode(f"from:{start + size}".encode()).decode()
        return call.answer(answer)


async def _given(call: Call) -> dict[str, Any]:
    """Return the parameters of a search, from the query or from the body."""
    if call.request.method == "POST":
        body = await call.body()
        if unknown := set(body) - _PARAMETERS:
            raise JiraError(400, f'Unrecognized field "{min(unknown)}"')
        return body | {"fields": tuple(body.get("fields") or ()), "reconcileIssues": body.get("reconcileIssues") or ()}
    query = call.request.query
    return dict(query) | {
        "fields": wanted_fields(query),
        "reconcileIssues": [one for text in query.getall("reconcileIssues", []) for one in text.split(",") if one],
    }


def _text(given: dict[str, Any], name: str) -> str | None:
    return None if given.get(name) is None else str(given[name])


def _place(token: str | None) -> int:
    """Return where a page begins; raise JiraError 400 for a token that is none of ours."""
    if not token:
        return 0
    try:
        text = base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    if not text.startswith("from:"):
        raise JiraError(400, "The provided next page token is invalid or expired.")
    return int(text.removeprefix("from:"))


#: Version that serverInfo tells.
VERSIONS: Final = {"cloud": (1001, 0, 0), "datacenter": (10, 3, 2)}


class RestApi(Api):
    """Translates requests into rules, and what they say into JSON."""

    def __init__(self, tracker: Tracker, user: str, token: str) -> None:
        """Take the tracker, and who the only user is."""
        super().__init__(tracker, user, token)
        self._searching = Searching(tracker)

    def routes(self) -> list[web.RouteDef]:
        """Return every route of every version that this product has."""
        versions = ("2", "3", "latest") if self.tracker.flavour == "cloud" else ("2", "latest")
        return [
            web.route(method, f"/rest/api/{version}/{path}", self.guarded(handler, version))
            for version in versions
            for method, path, handler in self._table()
        ]

    def _table(self) -> list[tuple[str, str, Answer]]:
        return [
            ("GET", "serverInfo", self._server_info),
            ("GET", "myself", self._myself),
            ("GET", "mypermissions", self._permissions),
            ("GET", "field", self._fields),
            ("GET", "issuetype", self._issue_types),
            ("GET", "project/{project}", self._project),
            ("GET", "issue/createmeta", self._create_meta),
            ("GET", "issue/createmeta/{project}/issuetypes", self._create_types),
            ("GET", "issue/createmeta/{project}/issuetypes/{type}", self._create_fields),
            ("POST", "issue", self._create),
            ("GET", "issue/{key}", self._issue),
            ("PUT", "issue/{key}", self._edit),
            ("GET", "issue/{key}/comment", self._comments),
            ("POST", "issue/{key}/comment", self._comment),
            ("GET", "issue/{key}/comment/{id}", self._one_comment),
            ("PUT", "issue/{key}/comment/{id}", self._change_comment),
            ("GET", "issue/{key}/remotelink", self._links),
            ("POST", "issue/{key}/remotelink", self._link),
            ("GET", "issue/{key}/transitions", self._transitions),
            ("POST", "issue/{key}/transitions", self._move),
            *self._searching.table(),
        ]

    async def _server_info(self, call: Call) -> web.Response:
        numbers = VERSIONS[self.tracker.flavour]
        kind = "Cloud" if self.tracker.flavour == "cloud" else "Server"
        version = ".".join(map(str, numbers))
        info = {"baseUrl": call.root, "version": version, "versionNumbers": numbers, "deploymentType": kind}
        return call.answer(info | {"serverTime": models.moment(self.tracker.now), "serverTitle": "Sandbox"})

    async def _myself(self, call: Call) -> web.Response:
        return call.answer(call.json.user())

    async def _permissions(self, call: Call) -> web.Response:
        named = call.query("permissions")
        if self.tracker.flavour == "cloud" and not named:
            raise JiraError(400, "The 'permissions' query parameter is required.")
        wanted = named.split(",") if named else PERMISSIONS
        if unknown := [name for name in wanted if name not in PERMISSIONS]:
            raise JiraError(400, f"Unrecognized permission {unknown[0]}")
        if key := call.query("projectKey"):
            self.tracker.project(key)
        has = {
            name: {"id": str(n), "key": name, "havePermission": name in self.tracker.permissions}
            for n, name in enumerate(wanted, 10)
        }
        return call.answer({"permissions": has})

    async def _fields(self, call: Call) -> web.Response:
        custom = {name: label for fields in self.tracker.required.values() for name, label in fields.items()}
        return call.answer(call.json.field_list(custom))

    async def _issue_types(self, call: Call) -> web.Response:
        return call.answer([call.json.issue_type(kind) for kind in ISSUE_TYPES])

    async def _project(self, call: Call) -> web.Response:
        return call.answer(call.json.project(self.tracker.project(call.part("project"))))

    async def _create_meta(self, call: Call) -> web.Response:
        """Cloud's only; Data Center 9 took it away."""
        if self.tracker.flavour != "cloud":
            raise JiraError(404, "Issue Does Not Exist")
        project = self.tracker.project(call.query("projectKeys") or "")
        kinds = [
            call.json.issue_type(kind)
            | {
                "fields": {
                    one["fieldId"]: one for one in call.json.create_fields(self._required(project.key, kind.name))
                }
            }
            for kind in ISSUE_TYPES
        ]
        return call.answer({"projects": [call.json.project(project) | {"issuetypes": kinds}]})

    async def _create_types(self, call: Call) -> web.Response:
        self.tracker.project(call.part("project"))
        name = "issueTypes" if self.tracker.flavour == "cloud" else "values"
        return call.page(name, [call.json.issue_type(kind) for kind in ISSUE_TYPES])

    async def _create_fields(self, call: Call) -> web.Response:
        project = self.tracker.project(call.part("project"))
        kind = next((one for one in ISSUE_TYPES if one.id == call.part("type")), None)
        if kind is None:
            raise JiraError(404, "Issue Type does not exist.")
        name = "fields" if self.tracker.flavour == "cloud" else "values"
        return call.page(name, call.json.create_fields(self._required(project.key, kind.name)))

    async def _create(self, call: Call) -> web.Response:
        body = await call.body()
        issue = self.tracker.create(_object(body, "fields"), documents=call.documents)
        return call.answer(call.json.reference(issue), 201)

    async def _issue(self, call: Call) -> web.Response:
        wanted = wanted_fields(call.request.query) or ("*all",)
        return call.answer(call.json.issue(self.tracker.issue(call.part("key")), wanted))

    async def _edit(self, call: Call) -> web.Response:
        """PUT: `fields` only, or comments and labels to add under `update`."""
        body = await call.body()
        key, fields = call.part("key"), dict(_object(body, "fields", needed=False))
        update = _object(body, "update", needed=False)
        added = [one["add"] for one in update.get("labels", ()) if "add" in one]
        if added:
            fields["labels"] = [*self.tracker.issue(key).labels, *added]
        self.tracker.edit(key, fields, documents=call.documents)
        for one in update.get("comment", ()):
            self.tracker.comment(key, one["add"].get("body"), documents=call.documents)
        return web.Response(status=204)

    async def _comments(self, call: Call) -> web.Response:
        issue = self.tracker.issue(call.part("key"))
        comments = issue.comments[::-1] if call.query("orderBy") == "-created" else issue.comments
        return call.page("comments", [call.json.comment(issue, comment) for comment in comments])

    async def _comment(self, call: Call) -> web.Response:
        body = await call.body()
        comment = self.tracker.comment(call.part("key"), body.get("body"), documents=call.documents)
        return call.answer(call.json.comment(self.tracker.issue(call.part("key")), comment), 201)

    async def _one_comment(self, call: Call) -> web.Response:
        issue = self.tracker.issue(call.part("key"))
        return call.answer(call.json.comment(issue, self.tracker.find_comment(issue.key, call.part("id"))))

    async def _change_comment(self, call: Call) -> web.Response:
        body = await call.body()
        key = self.tracker.issue(call.part("key")).key
        changed = self.tracker.change_comment(key, call.part("id"), body.get("body"), documents=call.documents)
        return call.answer(call.json.comment(self.tracker.issue(key), changed))

    async def _links(self, call: Call) -> web.Response:
        issue = self.tracker.issue(call.part("key"))
        return call.answer([call.json.link(issue, link) for link in issue.links])

    async def _link(self, call: Call) -> web.Response:
        link, fresh = self.tracker.link(call.part("key"), await call.body())
        issue = self.tracker.issue(call.part("key"))
        return call.answer(call.json.link(issue, link, short=True), 201 if fresh else 200)

    async def _transitions(self, call: Call) -> web.Response:
        found = self.tracker.transitions(call.part("key"))
        return call.answer({"expand": "transitions", "transitions": [call.json.transition(one) for one in found]})

    async def _move(self, call: Call) -> web.Response:
        body = await call.body()
        self.tracker.move(call.part("key"), str(_object(body, "transition").get("id")))
        return web.Response(status=204)

    def _required(self, project: str, kind: str) -> dict[str, str]:
        return self.tracker.required.get((project, kind), {})


def _object(body: dict[str, Any], name: str, *, needed: bool = True) -> dict[str, Any]:
    value = body.get(name)
    if isinstance(value, dict):
        return value
    if needed or value is not None:
        raise JiraError(400, f"Invalid request payload: '{name}' has to be an object.")
    return {}


def fault_body(status: int) -> tuple[str, str]:
    """Return what Jira, or what stands before it, answers with a status: (media type, body)."""
    message = {429: "Rate limit exceeded.", 503: "Service temporarily unavailable.", 500: "Internal server error"}
    return "application/json", json.dumps(models.faults([message.get(status, f"HTTP {status}")], {}))
